using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>One method under one scheme.</summary>
/// <param name="Method">The method.</param>
/// <param name="Scheme">The scheme.</param>
/// <param name="Open">Opens the model and makes the run of the cell; null where the two do not go together.</param>
/// <param name="Refusal">Why they do not; null where they do.</param>
public sealed record ComparisonCell(string Method, string Scheme, Func<OpenedCell>? Open, string? Refusal)
{
    /// <summary>Name of its files.</summary>
    public string Name => FileNameOf($"{Scheme}.{Method}");

    /// <summary>Where calibration windows come from; null where nothing looks at text.</summary>
    public CalibrationOptions? Calibration { get; init; }

    /// <summary>Name of the picture of a cell's layers in an output folder.</summary>
    /// <param name="cell">The cell.</param>
    public static string LayersFileOf(CellResult cell) => $"layers-{FileNameOf($"{cell.Scheme}.{cell.Method}")}.svg";

    /// <summary>Makes a name one of a file.</summary>
    internal static string FileNameOf(string name) => string.Concat(name.Select(sign => char.IsAsciiLetterOrDigit(sign) || sign is '.' or '-' or '=' or '_' or '+' ? sign : '-'));
}

/// <summary>The run of a cell, with its model open.</summary>
/// <param name="Job">The run.</param>
/// <param name="Owner">Closes the model.</param>
public sealed record OpenedCell(QuantizeJob Job, IDisposable Owner) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose() => Owner.Dispose();
}
