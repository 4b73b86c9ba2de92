"""Many organisms, measured by geometry and by battery, and what the one says of the other."""
