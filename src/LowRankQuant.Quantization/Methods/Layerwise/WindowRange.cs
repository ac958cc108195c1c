namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>Consecutive windows of a stream.</summary>
/// <param name="First">Number of the first.</param>
/// <param name="Count">How many.</param>
internal readonly record struct WindowRange(int First, int Count)
{
    /// <summary>The windows that may be learned from.</summary>
    public static WindowRange Training(BlockStreams streams) => new(0, streams.TrainingWindows);

    /// <summary>The windows that are only measured.</summary>
    public static WindowRange HeldOut(BlockStreams streams) => new(streams.TrainingWindows, streams.HeldOutWindows);
}
