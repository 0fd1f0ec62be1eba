"""How a child's weights start: repairs, least squares, fitted starts."""
