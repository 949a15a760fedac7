"""Layers: modules whose `forward` is the equation of their paper.

>>> import numpy as np
>>> from layers import Dense, Sequential
>>> Sequential(Dense(2, 16, "relu"), Dense(16, 3))(np.zeros((4, 2))).shape
(4, 3)
"""

from layers import init
from layers.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from layers.containers import Sequential
from layers.dense import Dense
from layers.dropout import Dropout
from layers.embedding import Embedding, Flatten
from layers.losses import MSE, BinaryCrossEntropy, CrossEntropy, Hinge
from layers.module import Module, Parameter
from layers.normalisation import BatchNorm, LayerNorm
from layers.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from layers.residual import DenseBlock, Residual

__all__ = [
    "init", "Module", "Parameter", "Sequential", "Dense", "Residual", "DenseBlock",
    "RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell",
    "BatchNorm", "LayerNorm", "Dropout", "Embedding", "Flatten",
    "Sigmoid", "Tanh", "ReLU", "LeakyReLU", "ELU", "Softplus", "SiLU", "GELU", "Softmax",
    "CrossEntropy", "MSE", "BinaryCrossEntropy", "Hinge",
]  # fmt: skip
