namespace LowRankQuant.Quantization.Calibration;

/// <summary>How far the reading or sampling of calibration data is.</summary>
/// <param name="Source">The file being read, or <c>self</c>.</param>
/// <param name="Documents">Documents read so far, of all sources.</param>
/// <param name="Tokens">Tokens found so far.</param>
/// <param name="Wanted">Tokens at which reading ends.</param>
public readonly record struct CalibrationProgress(string Source, int Documents, long Tokens, long Wanted);
