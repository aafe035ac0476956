"""What commands do to a home and its instances, apart from how they are typed."""
