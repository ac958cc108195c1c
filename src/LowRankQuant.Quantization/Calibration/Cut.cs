namespace LowRankQuant.Quantization.Calibration;

/// <summary>One window.</summary>
/// <param name="Ids">Its token ids.</param>
/// <param name="Mask">Which of them count; null for all.</param>
internal readonly record struct IdWindow(int[] Ids, bool[]? Mask);

/// <summary>The windows of a stream of tokens: from its start those to calibrate on, then the ones held out, spread over up to twice as many, then those beyond.</summary>
/// <param name="Windows">Windows to calibrate on.</param>
/// <param name="HeldOut">Windows kept aside.</param>
/// <param name="More">Windows beyond these.</param>
internal sealed record Cut(IdWindow[] Windows, IdWindow[] HeldOut, IdWindow[] More)
{
    /// <summary>Cuts a stream.</summary>
    /// <param name="stream">The tokens.</param>
    /// <param name="options">How many windows, and how long.</param>
    /// <param name="what">The text, as a message begins with it.</param>
    /// <exception cref="CalibrationException">There is too little text.</exception>
    public static Cut Of(CalibrationStream stream, CalibrationOptions options, string what)
    {
        List<int> ids = stream.Ids;
        int length = options.SequenceLength, samples = options.Samples, heldOut = options.HeldOut;
        long least = ((long)samples + heldOut) * length;
        if (ids.Count < least)
        {
            throw new CalibrationException(
                $"{what} has {stream.Found} tokens; {samples} samples and {heldOut} held-out windows of {length} need {least}. " +
                $"Give more text, or ask for fewer (`samples`, `held_out`) or shorter windows (`sequence_length`): {ids.Count / length} of {length} fit.");
        }
        int rest = Math.Min((ids.Count / length) - samples, 2 * heldOut), used = samples + rest;
        return new Cut(
            [.. Enumerable.Range(0, samples).Select(Window)],
            [.. Enumerable.Range(0, heldOut).Select(i => Window(samples + (int)((i + 1L) * rest / heldOut) - 1))],
            [.. Enumerable.Range(used, Math.Min(options.MoreSamples, (ids.Count / length) - used)).Select(Window)]);

        IdWindow Window(int number) => new([.. ids.GetRange(number * length, length)], stream.Mask is { } mask ? [.. mask.GetRange(number * length, length)] : null);
    }
}
