"""Whole catalogues on a Ray cluster: `unbraid.fleet.catalogue.separate_catalogue`."""
