"""BOSHNAS: ask and tell, what it has observed and what it believes."""
