"""Trained policies of arl as ONNX files: `arl-export RUN_DIR --output policy.onnx`, or `export_onnx`."""

from arl_plugin_export.onnx_file import export_onnx, save_torch

__all__ = ["export_onnx", "save_torch"]
