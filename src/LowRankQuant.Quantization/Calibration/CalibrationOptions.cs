using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>Whether the begin-of-text token stands in front of every document.</summary>
public enum AddBos
{
    /// <summary>As the tokenizer's files say.</summary>
    Auto,

    /// <summary>Always.</summary>
    Yes,

    /// <summary>Never.</summary>
    No,
}

/// <summary>Which texts a model is calibrated on, and how they are cut.</summary>
public sealed record CalibrationOptions
{
    /// <summary>The source that stands for text sampled from the model itself.</summary>
    public const string Self = "self";

    /// <summary>
    /// Texts in reading order, plain, <c>.gz</c> or <c>.zst</c>, folders and patterns too; or <see cref="Self"/> alone. Where they have weights, every text gives windows by
    /// its own.
    /// </summary>
    public required IReadOnlyList<TextInput> Sources { get; init; }

    /// <summary>Whether the text is sampled from the model itself.</summary>
    public bool IsSelf => Sources is [{ Path: Self, Weight: null }];

    /// <summary>Whether every text gives windows by its weight.</summary>
    public bool IsWeighted => Sources.Count > 0 && Sources[0].Weight is not null;

    /// <summary>What the files hold.</summary>
    public TextFormat Format { get; init; }

    /// <summary>Field of JSON objects that holds the text or the conversation, see <see cref="TextSourceOptions.TextField"/>.</summary>
    public string TextField { get; init; } = TextSourceOptions.UsualField;

    /// <summary>Variables of the chat template's own, for conversations; null for none.</summary>
    public TemplateArguments? ChatArguments { get; init; }

    /// <summary>Whether losses and statistics take the tokens alone that the assistant of a conversation says; all texts then hold conversations.</summary>
    public bool AssistantOnly { get; init; }

    /// <summary>Windows to calibrate on; at least 1.</summary>
    public int Samples { get; init; } = 128;

    /// <summary>Whether fewer windows are taken, at least one, where the text does not fill <see cref="Samples"/>.</summary>
    public bool TakeFewer { get; init; }

    /// <summary>Windows kept aside for judging.</summary>
    public int HeldOut { get; init; }

    /// <summary>Windows beyond these, as many as the text still gives: for work on the whole model, where more text always helps.</summary>
    public int MoreSamples { get; init; }

    /// <summary>Tokens of every window; at least 2.</summary>
    public int SequenceLength { get; init; } = 512;

    /// <summary>Whether the begin-of-text token stands in front of every document.</summary>
    public AddBos AddBos { get; init; }

    /// <summary>Seed of <see cref="Self"/>; text is taken in order and needs none.</summary>
    public ulong Seed { get; init; } = 42;
}
