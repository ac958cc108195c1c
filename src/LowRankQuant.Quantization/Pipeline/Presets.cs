using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>What a preset says about everything that does not depend on method and bits.</summary>
/// <param name="Samples">Calibration windows to train on.</param>
/// <param name="SequenceLength">Tokens per window.</param>
/// <param name="Iterations">Adam steps per block.</param>
/// <param name="Batch">Windows per step.</param>
/// <param name="Loss">Weighting of tokens.</param>
/// <param name="KeepBest">Whether the best iterate on held-out windows is kept.</param>
/// <param name="HeldOut">Calibration windows to measure on.</param>
/// <param name="Restarts">New starts of a block that training made no better; null for the usual number.</param>
internal sealed record Preset(int Samples, int SequenceLength, int Iterations, int Batch, LossWeighting Loss, bool KeepBest, int HeldOut, int? Restarts = null);

/// <summary>The constants of the presets, all in one place.</summary>
internal static class Presets
{
    /// <summary>The default: nearly all of the gain in a small part of the time.</summary>
    public const string Fast = "fast";

    /// <summary>The setting of LRQ's released scripts.</summary>
    public const string Paper = "paper";

    public const int DefaultBits = 4;
    public const QuantizationMethod DefaultMethod = QuantizationMethod.Lrq;
    public const ulong DefaultSeed = 42;

    /// <summary>Windows of <c>fast</c> for methods that look at second moments alone: eight tokens an input suffice.</summary>
    public const int CorrectionSamples = 64;

    /// <summary>Held-out windows when somebody keeps the best iterate on top of a preset that has none.</summary>
    public const int KeepBestHeldOut = 8;

    private const int FastRank = 128;
    private const int PaperRank = 1024;
    private const int PaperRankLarge = 2048;

    // From here on the paper's larger rank; the paper's sizes are 7, 13, 33, 65 and 70 billion.
    private const double LargeModel = 30e9;

    private static readonly Preset FastPreset = new(
        Samples: 256, SequenceLength: 512, Iterations: 150, Batch: 2, LossWeighting.Relative, KeepBest: true, HeldOut: 8);

    private static readonly Preset PaperPreset = new(
        Samples: 512, SequenceLength: 1024, Iterations: 5000, Batch: 2, LossWeighting.Plain, KeepBest: false, HeldOut: 0, Restarts: 0);

    /// <summary>First learning rate of <c>fast</c> where LRQ starts at what another method has optimised already: larger ones destroy it first.</summary>
    private const double FastResidualRate = 5e-4;

    // Worse than the plain range where nothing is learned, better where it is: at 2, 3 and 4 bits, for LRQ and FlexRound (docs/results/start.md).
    private const GridStart FastStart = GridStart.Search;

    /// <summary>First learning rates of <c>fast</c> by code width: the row with the largest width not above the one asked for.</summary>
    private static readonly (int Bits, double Lrq, double FlexRound)[] FastRates = [(4, 5e-3, 5e-3), (3, 1e-2, 1e-2), (2, 2e-2, 1e-2)];

    /// <summary>The same on two-level grids, for both methods: groups are small, so errors and with them the steps that pay are smaller (docs/results/two-level.md).</summary>
    private static readonly (int Bits, double Rate)[] TwoLevelRates = [(4, 2e-3), (3, 3e-3), (2, 5e-3)];

    /// <summary>Learning rates and starts of the released scripts of LRQ, weight-only schemes, by size in billions of parameters and code width.</summary>
    private static readonly (double Billions, int Bits, double Lrq, GridStart LrqStart, double FlexRound, GridStart FlexRoundStart)[] PaperRates =
    [
        (7, 4, 9e-4, GridStart.MinMax, 3e-3, GridStart.MinMax),
        (7, 3, 6e-4, GridStart.Search, 2.5e-3, GridStart.MinMax),
        (13, 4, 6e-4, GridStart.MinMax, 7e-4, GridStart.MinMax),
        (13, 3, 5e-4, GridStart.Search, 5e-4, GridStart.Search),
        (70, 4, 5e-4, GridStart.MinMax, 5e-4, GridStart.MinMax),
        (70, 3, 5e-4, GridStart.MinMax, 5e-4, GridStart.Search),
    ];

    /// <summary>The preset of a name, or null.</summary>
    public static Preset? Find(string name) => name.ToLowerInvariant() switch { Fast => FastPreset, Paper => PaperPreset, _ => null };

    /// <summary>Rank of a preset for a model of so many parameters.</summary>
    public static int Rank(string preset, double parameters) =>
        preset != Paper ? FastRank : parameters >= LargeModel ? PaperRankLarge : PaperRank;

    /// <summary>First learning rate and start of a preset on a grid. Round to nearest has no rate and starts at the range of the weights.</summary>
    /// <param name="preset">Name of the preset.</param>
    /// <param name="method">The method.</param>
    /// <param name="grid">The grid of the codes.</param>
    /// <param name="parameters">Parameters of the model.</param>
    /// <param name="residual">Whether LRQ learns the codes beside the branches of a low-rank correction.</param>
    public static (double Rate, GridStart Start) RateAndStart(
        string preset, QuantizationMethod method, WeightGrid grid, double parameters, bool residual = false)
    {
        (double rate, GridStart start) = UniformRateAndStart(preset, method, grid.Bits, parameters, residual);
        if (grid is not TwoLevelGrid) return (rate, start);
        // The integers of a two-level grid are never learned, so they are always searched for.
        bool fast = preset != Paper && rate > 0 && !residual;
        return (fast ? TwoLevelRates.First(row => grid.Bits >= row.Bits).Rate : rate, GridStart.Search);
    }

    private static (double Rate, GridStart Start) UniformRateAndStart(string preset, QuantizationMethod method, int bits, double parameters, bool residual)
    {
        if (residual && preset != Paper) return (FastResidualRate, GridStart.MinMax);
        if (residual) method = QuantizationMethod.Lrq;
        if (method == QuantizationMethod.Rtn || CorrectionResolver.Covers(method)) return (0, GridStart.MinMax);
        bool flexRound = method == QuantizationMethod.FlexRound;
        if (preset != Paper)
        {
            foreach ((int rowBits, double lrq, double flex) in FastRates)
            {
                if (bits >= rowBits) return (flexRound ? flex : lrq, FastStart);
            }
            return (flexRound ? FastRates[^1].FlexRound : FastRates[^1].Lrq, FastStart);
        }
        // 3 bits is the narrowest width of the scripts and 4 the widest; the nearest size is meant in ratios.
        int scriptBits = bits >= 4 ? 4 : 3;
        var best = PaperRates[0];
        double distance = double.PositiveInfinity;
        foreach (var row in PaperRates)
        {
            double here = Math.Abs(Math.Log(parameters / (row.Billions * 1e9)));
            if (row.Bits != scriptBits || here >= distance) continue;
            (best, distance) = (row, here);
        }
        return flexRound ? (best.FlexRound, best.FlexRoundStart) : (best.Lrq, best.LrqStart);
    }
}
