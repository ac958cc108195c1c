using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Storage;

/// <summary>What became of embedding or output head.</summary>
/// <param name="Part">The matrix.</param>
/// <param name="Name">What it is called: <c>embedding</c>, <c>head</c>, or both where they are one.</param>
/// <param name="Module">Its module path.</param>
/// <param name="Rows">Tokens of the vocabulary.</param>
/// <param name="Columns">Width.</param>
/// <param name="Grid">Its grid in words.</param>
/// <param name="BitsPerWeight">Codes, scales and zero points.</param>
/// <param name="Rounding">How codes were chosen, in words.</param>
/// <param name="ErrorBefore">
/// Relative error when it is rounded to nearest on the plain range: |X (W - What)^T| / |X W^T| on the calibration tokens where inputs were looked at, else |W - What| / |W|.
/// </param>
/// <param name="ErrorAfter">The same as stored.</param>
/// <param name="OnOutputs">Whether the errors are those of outputs.</param>
/// <param name="Seconds">Wall time.</param>
public sealed record VocabularyReport(
    VocabularyPart Part, string Name, string Module, int Rows, int Columns, string Grid, double BitsPerWeight, string Rounding, double ErrorBefore, double ErrorAfter,
    bool OnOutputs, double Seconds)
{
    /// <summary>What the user should know; empty when nothing.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>One line for people.</summary>
    public string Describe() => string.Create(System.Globalization.CultureInfo.InvariantCulture,
        $"{Name} ({Module}): {Grid}, {BitsPerWeight:0.###} bits per weight, {Rounding}; relative error of {(OnOutputs ? "outputs" : "weights")} {ErrorBefore:G3} -> {ErrorAfter:G3}");
}
