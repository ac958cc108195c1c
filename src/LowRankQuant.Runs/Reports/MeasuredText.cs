using System.Text.Json.Serialization;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Runs.Reports;

/// <summary>What a run was measured on, so that a finished run can be asked whether it was measured as is asked for now.</summary>
/// <param name="Sha256">SHA-256 of the text file's bytes; null for the held-out calibration windows, which belong to the run.</param>
/// <param name="Windows">The first so many windows of the text; null for all.</param>
/// <param name="AddBos">Whether the begin-of-text token stands in front of the text.</param>
public sealed record MeasuredText(string? Sha256, int? Windows, AddBos AddBos)
{
    /// <summary>What the file was said to hold.</summary>
    public TextFormat Format { get; init; }

    /// <summary>Field of JSON objects that holds the text.</summary>
    public string TextField { get; init; } = TextSourceOptions.UsualField;

    /// <summary>Whether rows were joined by blank lines.</summary>
    public bool JoinRows { get; init; }

    /// <summary>How a data set's rows were joined otherwise.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public TextJoin Join { get; init; }

    /// <summary>Variables of the chat template; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ChatArguments { get; init; }

    /// <summary>The first so many rows of a data set; null for all.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? MostRows { get; init; }

    /// <summary>Tokens of a window, where a number was asked for.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? Context { get; init; }

    /// <summary>Whether the result was looked at in depth.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool InDepth { get; init; }

    /// <summary>Windows that linears were exchanged on one by one, where a number was asked for.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? SwapWindows { get; init; }

    /// <summary>Whether what was measured answers what is asked for: the same, or the same in more depth.</summary>
    /// <param name="asked">What is asked for.</param>
    public bool Answers(MeasuredText asked) => this == asked || (!asked.InDepth && Means == asked);

    /// <summary>Whether nothing but depth is missing of what is asked for.</summary>
    /// <param name="asked">What is asked for.</param>
    public bool LacksDepthAlone(MeasuredText asked) => this != asked && Means == asked.Means;

    /// <summary>The text and how it is read, in words that are equal where these are; how much of it was measured and how deeply has no part in it.</summary>
    public string Identity() => (Means with { Windows = null }).ToString();

    private MeasuredText Means => this with { InDepth = false, SwapWindows = null };
}
