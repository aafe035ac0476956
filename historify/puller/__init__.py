"""The process that fills the store: one per home, asking the brokers through the instances' own apis."""
