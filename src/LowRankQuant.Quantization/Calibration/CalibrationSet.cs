namespace LowRankQuant.Quantization.Calibration;

/// <summary>Token ids to calibrate on.</summary>
/// <param name="Windows">Windows of one length.</param>
/// <param name="HeldOutWindows">Windows of the same length that are only measured.</param>
public sealed record CalibrationSet(int[][] Windows, int[][] HeldOutWindows);
