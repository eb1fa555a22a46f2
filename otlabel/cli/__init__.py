"""The command ``otlabel``: files of embeddings or scores in, tables of labels out."""
