using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Methods;

/// <summary>
/// A way to quantize models, as it declares itself: what it is called, what it takes, what it needs. Whoever asks about methods (command lines, recipes, help,
/// plans, reports) asks a <see cref="MethodCatalog"/>, so that a method is one folder, or one class in a library of somebody else's.
/// </summary>
public abstract class QuantizationMethod
{
    /// <summary>The name, as recipes spell it.</summary>
    public abstract string Name { get; }

    /// <summary>What it does, in a line without a full stop.</summary>
    public abstract string Summary { get; }

    /// <summary>Where it is from: a paper or a project; null for nothing to name.</summary>
    public virtual string? Source => null;

    /// <summary>What it takes beside what every method takes; keys of the same name mean the same in all methods.</summary>
    public abstract IReadOnlyList<RecipeOption> Options { get; }

    /// <summary>What it looks at.</summary>
    public virtual MethodNeeds Needs => MethodNeeds.Calibration;

    /// <summary>Whether it works on one scale for a whole matrix.</summary>
    public virtual bool TakesTensorScales => false;

    /// <summary>Whether it works on grids whose codes are floats.</summary>
    public virtual bool TakesFloatGrids => false;

    /// <summary>Whether its losses and statistics can leave tokens out (<see cref="BlockStreams.Masks"/>): all it sees of the text comes through them.</summary>
    public virtual bool HonoursTokenMask => false;

    /// <summary>Whether it works on grids with a float minimum per group.</summary>
    public virtual bool TakesAffineGrids => false;

    /// <summary>Calibration windows where nobody says how many.</summary>
    /// <param name="values">What was asked for.</param>
    /// <param name="preset">The preset.</param>
    public virtual WindowDefaults Windows(OptionValues values, string preset) => WindowDefaults.Of(preset);

    /// <summary>The budget that decides the grids of layers; null where grids are as asked for.</summary>
    public virtual BitBudget? Budget(OptionValues values) => null;

    /// <summary>Steps that tune the whole model afterwards where nobody says how many.</summary>
    /// <param name="bits">Code width.</param>
    public virtual int TuneSteps(int bits) => 0;

    /// <summary>First learning rate of codes in these steps where nobody says, in steps of the grid; 0 for codes that stay.</summary>
    /// <param name="steps">How many steps there are.</param>
    public virtual double TuneCodeRate(int steps) => 0;

    /// <summary>Fills in what was not asked for, and says what cannot be run.</summary>
    /// <param name="request">What was asked for, and what is known of model, grids and windows.</param>
    public abstract MethodSettings Resolve(MethodRequest request);
}

/// <summary>What a method looks at.</summary>
[Flags]
public enum MethodNeeds
{
    /// <summary>Weights alone.</summary>
    None = 0,

    /// <summary>Calibration text, run through the model quantized so far.</summary>
    Calibration = 1,

    /// <summary>The inputs of every block in the full-precision model too.</summary>
    FullPrecisionInputs = 2,

    /// <summary>Gradients through a block.</summary>
    Gradients = 4,

    /// <summary>How much the model feels the error of every output, which takes gradients through the whole model.</summary>
    Sensitivity = 8,
}

/// <summary>What is quantized beside weights.</summary>
public enum QuantizedInputs
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Activations, keys or values with steps from every token's own values.</summary>
    Dynamic,

    /// <summary>Activations with static steps, and perhaps keys and values.</summary>
    Static,
}

/// <summary>Calibration windows where nobody says how many.</summary>
/// <param name="Samples">To learn from.</param>
/// <param name="HeldOut">To measure on.</param>
/// <param name="SequenceLength">Tokens of each.</param>
public readonly record struct WindowDefaults(int Samples, int HeldOut, int SequenceLength)
{
    /// <summary>The usual ones of a preset.</summary>
    public static WindowDefaults Of(string preset) => preset == PresetNames.Paper ? new(512, 0, 1024) : new(256, 8, 512);
}

/// <summary>A budget for the whole model, which gives every layer a rank and perhaps a grid of its own.</summary>
/// <param name="TargetBits">Stored bits per weight over all linears.</param>
/// <param name="ChoosesGrids">Whether it may change grids.</param>
public readonly record struct BitBudget(double TargetBits, bool ChoosesGrids);

/// <summary>What a method knows when its options are resolved. Whatever is wrong goes to <see cref="Problems"/>, keys in backticks.</summary>
public sealed record MethodRequest
{
    /// <summary>What was asked for.</summary>
    public required OptionValues Values { get; init; }

    /// <summary>The preset.</summary>
    public required string Preset { get; init; }

    /// <summary>The grid of the layers that have none of their own.</summary>
    public required WeightGrid Grid { get; init; }

    /// <summary>Whether all layers lie on grids whose scales are integers times a scale of their block.</summary>
    public required bool AllTwoLevel { get; init; }

    /// <summary>Whether any layer does.</summary>
    public bool AnyTwoLevel { get; init; }

    /// <summary>Whether grids are the blocks of an engine, among which a budget chooses.</summary>
    public required bool EngineBlocks { get; init; }

    /// <summary>The target whose grids a budget may choose among; null for none.</summary>
    public required Targets.Target? Target { get; init; }

    /// <summary>Stored type of scales.</summary>
    public required ScaleType ScaleType { get; init; }

    /// <summary>What is quantized beside weights.</summary>
    public required QuantizedInputs Quantizes { get; init; }

    /// <summary>The kinds of linears that blocks have.</summary>
    public required IReadOnlyList<LinearShape> Linears { get; init; }

    /// <summary>Parameters of the model.</summary>
    public required double Parameters { get; init; }

    /// <summary>Windows to learn from.</summary>
    public required int Samples { get; init; }

    /// <summary>Windows to measure on.</summary>
    public required int HeldOut { get; init; }

    /// <summary>Receives what cannot be run.</summary>
    public required List<string> Problems { get; init; }

    /// <summary>Receives what the user should know.</summary>
    public required List<string> Notes { get; init; }

    /// <summary>Whether the preset is that of the papers.</summary>
    public bool IsPaper => Preset == PresetNames.Paper;

    /// <summary>Adds a problem for every option that was asked for.</summary>
    /// <param name="why">The end of a sentence that begins with the option.</param>
    /// <param name="options">The options.</param>
    public void Refuse(string why, params ReadOnlySpan<RecipeOption> options)
    {
        foreach (RecipeOption option in options)
        {
            if (Values.Has(option)) Problems.Add($"`{option.Key}` {why}.");
        }
    }
}
