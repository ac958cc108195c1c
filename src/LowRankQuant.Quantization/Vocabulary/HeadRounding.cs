using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.FlrqPlus;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Vocabulary;

/// <summary>
/// Rounds the output head by a layer-wise solver on the second moments H = X^T X / tokens of its inputs X, the hidden states behind the final norm. Without a
/// low-rank branch rows of the head do not depend on each other, so a vocabulary of any size is taken in runs of rows, each with the same H:
/// <code>min over What of tr((W - What) H (W - What)^T)  =  sum over rows</code>
/// </summary>
/// <param name="model">The model in full precision.</param>
/// <param name="recipe">What is done.</param>
/// <param name="solver">Chooses codes and scales of rows.</param>
/// <param name="cancellation">Asks to stop.</param>
internal sealed class HeadRounding(CausalModel model, Recipe recipe, ILayerSolver solver, CancellationToken cancellation)
{
    /// <summary>Rows that a solver sees at once; a solver holds several copies of them in double precision.</summary>
    public const int RowsAtOnce = 8192;

    // Where every layer of the blocks tries several dampings on held-out windows, and for methods without a damping of their own: the usual one.
    private const double UsualDamping = 0.3;

    private const ulong SeedPath = 0x48454144;

    /// <summary>What is added to the diagonal of H, as a part of its mean: the method's, or the usual one where it names none.</summary>
    public static double Damping(Recipe recipe) => recipe.Method.Head?.Damping ?? UsualDamping;

    /// <summary>
    /// What chooses the codes of the head, always without a branch: the method's own solver where it fits layers by themselves; error-compensated rounding
    /// (<see cref="PlusSolver"/>) for methods that learn otherwise; null for those that look at no inputs.
    /// </summary>
    public static ILayerSolver? SolverOf(Recipe recipe) =>
        recipe.Method.Head?.Solver ?? (recipe.Method.LooksAtInputs ? new PlusSolver(new PlusOptions(), _ => 0) : null);

    /// <summary>A quantized head.</summary>
    /// <param name="Weight">Codes and scales as stored.</param>
    /// <param name="Energies">Of its outputs and their errors.</param>
    /// <param name="Warnings">What the user should know.</param>
    public sealed record Result(QuantizedWeight Weight, OutputEnergies Energies, IReadOnlyList<string> Warnings);

    /// <summary>Statistics of the inputs of the head.</summary>
    /// <param name="stream">Windows behind the last block.</param>
    /// <param name="windows">The first so many are looked at.</param>
    /// <param name="masks">Which of their tokens; null for all.</param>
    /// <param name="module">The head, for messages.</param>
    /// <exception cref="CalibrationException">An input is not finite.</exception>
    public InputStatistics Inputs(ActivationStream stream, int windows, IReadOnlyList<bool[]>? masks, string module)
    {
        using OutputHead head = model.LoadHead();
        var statistics = new InputStatistics(model.EmbeddingWidth);
        using Tensor x = model.Device.Empty(stream.Rows, stream.Columns);
        for (int window = 0; window < windows; window++)
        {
            cancellation.ThrowIfCancellationRequested();
            using var tape = new Tape(model.Device, recording: false);
            Tensor states = x.RowRange(0, stream.LengthOf(window));
            stream.Read(window, states);
            try
            {
                MaskedRows.See(head.Final(tape, new Variable(states)).Value, masks?[window], statistics.Add);
            }
            catch (CalibrationException failure)
            {
                throw new CalibrationException($"{module}: {failure.Message} Finished blocks are kept.", failure);
            }
            if (WindowSegments.EndsSegment(window, windows)) statistics.EndSegment();
        }
        return statistics;
    }

    /// <summary>Rounds a head.</summary>
    /// <param name="module">Its module path.</param>
    /// <param name="weight">[rows, columns].</param>
    /// <param name="rows">Tokens of the vocabulary.</param>
    /// <param name="columns">Width.</param>
    /// <param name="grid">Its grid.</param>
    /// <param name="inputs">Statistics of its inputs.</param>
    public Result Round(string module, float[] weight, int rows, int columns, LayerGrid grid, InputStatistics inputs)
    {
        var parts = new List<(QuantizedWeight Weight, Func<int, int> RowOf)>();
        var warnings = new List<string>();
        OutputEnergies energies = default;
        for (int row = 0; row < rows; row += RowsAtOnce)
        {
            cancellation.ThrowIfCancellationRequested();
            int first = row, count = Math.Min(RowsAtOnce, rows - first);
            LayerProblem problem = Problem(module, weight.AsSpan(first * columns, count * columns), count, columns, grid, inputs, first);
            LayerSolution solution = solver.Solve(problem);
            parts.Add((solution.Weight, i => first + i));
            energies += OutputEnergies.Of(problem.Weight, inputs, solution.Weight, problem.Workers);
            // Every run of rows has the same inputs, and the same to say about them.
            warnings.AddRange(solution.Warnings.Except(warnings));
        }
        QuantizedWeight whole = QuantizedWeight.JoinRows(rows, parts) ?? throw new InvalidOperationException($"The rows of '{module}' have one grid and do not join.");
        return new Result(whole, energies, warnings);
    }

    private LayerProblem Problem(string module, ReadOnlySpan<float> weight, int rows, int columns, LayerGrid grid, InputStatistics inputs, int first)
    {
        var values = new double[weight.Length];
        for (int i = 0; i < values.Length; i++) values[i] = weight[i];
        return new LayerProblem
        {
            Name = module,
            Weight = values,
            OutFeatures = rows,
            InFeatures = columns,
            Inputs = inputs,
            Grid = grid.ToGrid(),
            ScaleType = recipe.ScaleType,
            ScaleDigits = grid.ScaleDigits,
            Damping = Damping(recipe),
            PlannedRank = 0,
            Seed = SeededRandom.Derive(recipe.Seed, SeedPath, (ulong)first).NextUInt64(),
            Workers = model.Device.HostWorkers,
            Cancellation = cancellation,
        };
    }
}
