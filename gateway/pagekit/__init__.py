"""What every page server of ours shares: frame, sign-in and -out, files, headers, how often one may ask.

The instances' own pages (``gateway.web``) and the fleet page (``supervisor.console``) are built on it, so it
knows neither orders nor databases: Flask and the standard library only.
"""
