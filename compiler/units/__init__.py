"""Hidden channels as units that can go or change places: found, followed through every call, chosen, rebuilt."""
