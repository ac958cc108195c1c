using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>Accumulated error of the output of every block on one text; see <see cref="LowRankQuant.Evaluation.Figures.AccumulatedError"/>.</summary>
/// <param name="Text">Name of the text.</param>
/// <param name="IsCalibration">Whether these are windows that methods learn from.</param>
/// <param name="Windows">How many windows were taken.</param>
/// <param name="Tokens">Tokens of all of them.</param>
/// <param name="Rmse">Root mean square over tokens and channels, a number for every block in model order.</param>
public sealed record BlockErrors(string Text, bool IsCalibration, int Windows, long Tokens, IReadOnlyList<double> Rmse);

/// <summary>On what errors of blocks are measured beside the calibration windows.</summary>
/// <param name="Texts">Texts that no method has seen; none for the evaluation text.</param>
/// <param name="Windows">The first so many windows of each text; null for <see cref="UsualWindows"/>.</param>
public sealed record BlockErrorRequest(IReadOnlyList<TextInput> Texts, int? Windows)
{
    /// <summary>How many windows are taken where nobody says.</summary>
    public const int UsualWindows = 8;

    /// <summary>Whether anything was asked for, so that cells that were made without do not do.</summary>
    public bool IsOwn => Texts.Count > 0 || Windows is not null;
}
