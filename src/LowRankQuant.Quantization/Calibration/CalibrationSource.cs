namespace LowRankQuant.Quantization.Calibration;

/// <summary>Where calibration data came from.</summary>
/// <param name="Name">Path as given, or <c>self</c>.</param>
/// <param name="Bytes">Size of the file as it lies on disk; 0 for <c>self</c>.</param>
/// <param name="Sha256">Of the file as it lies on disk, lower-case hexadecimal; null for <c>self</c>.</param>
public sealed record CalibrationSource(string Name, long Bytes, string? Sha256);
