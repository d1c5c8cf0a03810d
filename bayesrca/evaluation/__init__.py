"""Backtest: how right, and how honest, were the answers on incidents whose cause is known?"""
