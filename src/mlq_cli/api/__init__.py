"""The methods of class MLQ, by what they are for. `mlq.py` puts them together."""
