//! Calmony Pay, spoken here.
