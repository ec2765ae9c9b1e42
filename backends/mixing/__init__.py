"""Context mixing of small integers: the model behind the codecs `cm` and `cm_max`, in plain Python and in C."""
