"""Recurrent kernels: RNN, LSTM, GRU and linear recurrences."""
