using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>The part of <see cref="RecipeResolver"/> that is about calibration windows: how many, how long, and fewer where a text does not fill them.</summary>
/// <param name="request">What was asked for.</param>
/// <param name="needsText">Whether the run looks at text.</param>
/// <param name="model">Sizes of the model.</param>
/// <param name="problems">Receives what cannot be run.</param>
/// <param name="notes">Receives what the user should know.</param>
internal sealed class WindowResolver(RecipeRequest request, bool needsText, DecoderConfig model, List<string> problems, List<string> notes)
{
    // Shorter windows than this say little about a model; text is cut to fewer windows first.
    private const int ShortestBundledWindow = 64;

    /// <summary>The windows of a run; none where nothing looks at text.</summary>
    /// <param name="usual">Where nobody says.</param>
    public WindowDefaults Resolve(WindowDefaults usual)
    {
        if (!needsText && !request.HasCalibration) return default;
        int length = request.SequenceLength ?? Math.Min(usual.SequenceLength, model.MaxPositions);
        if (request.SequenceLength is null && length < usual.SequenceLength)
            notes.Add($"Windows hold {length} tokens: the model has no more positions (the preset has {usual.SequenceLength}).");
        if (length < 2 || length > model.MaxPositions) problems.Add($"`sequence_length` {length}: must be 2 to {model.MaxPositions} (tokens per window, at most the model's positions).");
        var windows = new WindowDefaults(
            AtLeast("samples", request.Samples ?? usual.Samples, 1, "calibration windows"), AtLeast("held_out", request.HeldOut ?? usual.HeldOut, 0, "calibration windows to measure on"), length);
        if (request.BundledTokens is { } tokens) return Cut(windows, tokens);
        return request.CalibrationTokens is { } found ? Fit(windows, found) : windows;
    }

    private WindowDefaults Cut(WindowDefaults windows, long tokens)
    {
        (int samples, int heldOut, int length) = windows;
        if (((long)samples + heldOut) * length <= tokens) return windows;
        while (request.SequenceLength is null && ((long)samples + heldOut) * length > tokens && length / 2 >= ShortestBundledWindow) length /= 2;
        if (request.Samples is null) samples = (int)Math.Clamp((tokens / length) - heldOut, 1, samples);
        if (((long)samples + heldOut) * length > tokens)
        {
            problems.Add($"`samples` {samples} and {heldOut} held-out windows of {length} tokens need {((long)samples + heldOut) * length} tokens; " +
                $"the model's own calibration text has {tokens}. Ask for fewer or shorter windows, or give `calibration` FILE.");
        }
        else
        {
            notes.Add($"The model's own calibration text has {tokens} tokens: {samples} + {heldOut} held-out windows of {length} tokens are used " +
                $"(the preset has {windows.Samples} + {windows.HeldOut} of {windows.SequenceLength}).");
        }
        return new WindowDefaults(samples, heldOut, length);
    }

    // Of the user's text fewer windows are taken, in the same proportion; shorter ones only where not even one to learn from and one to judge by fit.
    private WindowDefaults Fit(WindowDefaults windows, long tokens)
    {
        (int samples, int heldOut, int length) = windows;
        if (samples < 1 || heldOut < 0 || length < 2 || ((long)samples + heldOut) * length <= tokens) return windows;
        int leastHeldOut = request.HeldOut ?? Math.Min(1, heldOut), least = (request.Samples ?? 1) + leastHeldOut;
        while (request.SequenceLength is null && request.Samples is null && request.HeldOut is null && (long)least * length > tokens && length / 2 >= ShortestBundledWindow)
            length /= 2;
        long fit = tokens / length;
        if (fit < least)
        {
            problems.Add($"The calibration text has {tokens} tokens: {fit} windows of {length} fit, and {samples} + {heldOut} held-out ones are asked for. " +
                "Give more text, or ask for fewer (`samples`, `held_out`) or shorter windows (`sequence_length`).");
            return windows;
        }
        if (request.HeldOut is null && heldOut > 0)
            heldOut = (int)Math.Clamp(request.Samples is { } asked ? fit - asked : fit * heldOut / ((long)samples + heldOut), 1, heldOut);
        if (request.Samples is null) samples = (int)Math.Min(samples, fit - heldOut);
        notes.Add($"The calibration text has {tokens} tokens: {samples} + {heldOut} held-out windows of {length} tokens are used instead of " +
            $"{windows.Samples} + {windows.HeldOut} of {windows.SequenceLength}; `samples`, `held_out` and `sequence_length` choose others.");
        return new WindowDefaults(samples, heldOut, length);
    }

    private int AtLeast(string key, int value, int least, string what)
    {
        if (value < least) problems.Add($"`{key}` {value}: must be at least {least} ({what}).");
        return value;
    }
}
