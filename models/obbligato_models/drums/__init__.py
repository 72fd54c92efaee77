"""The drummer: data, network, training, scores, export. Encoding: docs/drums.md."""
