using LowRankQuant.Models;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods;

/// <summary>What a method gets to plan a whole model before its first block.</summary>
public sealed record ModelPlanContext
{
    /// <summary>The model in full precision.</summary>
    public required CausalModel Model { get; init; }

    /// <summary>Grids of all layers without a plan; null where the model is quantized already.</summary>
    public Scheme? Scheme { get; init; }

    /// <summary>The target among whose grids may be chosen; null for none.</summary>
    public Targets.Target? Target { get; init; }

    /// <summary>Token ids.</summary>
    public required CalibrationSet Calibration { get; init; }

    /// <summary>What is done while gradients through the whole model are measured, for <see cref="Progress"/>.</summary>
    public const string Measuring = "measuring what the model feels";

    /// <summary>Enough for stable means of a diagonal.</summary>
    public const int UsualTokens = 8192;

    /// <summary>Most tokens to look at the model with (<see cref="MethodSettings.PlanTokens"/>).</summary>
    public int Tokens { get; init; } = UsualTokens;

    /// <summary>The windows to look at it with: the first that hold so many tokens, and at least one; those without a token that counts are passed over.</summary>
    public int[][] Windows => [.. Numbers.Select(number => Calibration.Windows[number])];

    /// <summary>Which tokens of <see cref="Windows"/> count; null for all.</summary>
    public bool[][]? Masks => Calibration.Masks is { } masks ? [.. Numbers.Select(number => masks[number])] : null;

    private IEnumerable<int> Numbers => Enumerable.Range(0, Calibration.Windows.Length)
        .Where(number => Calibration.Masks is not { } masks || masks[number].Contains(true)).Take(WindowsOf(Tokens, Calibration.SequenceLength, Calibration.Windows.Length));

    /// <summary>How many windows of a length hold so many tokens, of those that there are.</summary>
    public static int WindowsOf(int tokens, int length, int windows) => Math.Clamp(tokens / length, 1, windows);

    /// <summary>Memory for activations.</summary>
    public required MemoryBudget Activations { get; init; }

    /// <summary>Bytes that statistics of experts may take together.</summary>
    public required long StatisticsBytes { get; init; }

    /// <summary>Folder for activations that do not fit the memory.</summary>
    public required string Scratch { get; init; }

    /// <summary>The run's seed.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Told what is done: stage, steps done, steps in all.</summary>
    public Action<string, int, int>? Progress { get; init; }

    /// <summary>Asks to stop.</summary>
    public CancellationToken Cancellation { get; init; }
}
