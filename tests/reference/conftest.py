collect_ignore = ["make_reference.py"]  # it needs PyTorch
