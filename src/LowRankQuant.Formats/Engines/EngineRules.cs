namespace LowRankQuant.Formats.Engines;

/// <summary>What an engine's fast kernels, or the packer of its format, take of a linear layer, and where this was seen.</summary>
/// <param name="Engine">Name.</param>
/// <param name="Versions">The releases, or the commit of the source, that were looked at.</param>
/// <param name="Checked">The day.</param>
public sealed record EngineRules(string Engine, string Versions, DateOnly Checked)
{
    /// <summary>Widths of a code.</summary>
    public IReadOnlyList<int> Widths { get; init; } = [];

    /// <summary>Inputs that share a scale; empty for any number.</summary>
    public IReadOnlyList<int> GroupSizes { get; init; } = [];

    /// <summary>What the number of inputs is a multiple of.</summary>
    public int InputTile { get; init; } = 1;

    /// <summary>What the number of outputs is a multiple of.</summary>
    public int OutputTile { get; init; } = 1;

    /// <summary>Numbers as words: <c>32, 64 or 128</c>.</summary>
    /// <param name="numbers">One or more.</param>
    /// <param name="last">The word before the last.</param>
    public static string Words(IReadOnlyList<int> numbers, string last = "or") =>
        numbers.Count == 1 ? $"{numbers[0]}" : $"{string.Join(", ", numbers.SkipLast(1))} {last} {numbers[^1]}";

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"{Versions}, {Checked:yyyy-MM-dd}");
}
