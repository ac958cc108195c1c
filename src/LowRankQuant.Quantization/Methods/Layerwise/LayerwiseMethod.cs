using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Pipeline.Budget;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>
/// Quantizes every linear of a block by itself, from the second moments of its inputs. FLRQ, flrq+ and their peers differ only in the
/// <see cref="ILayerSolver"/> and in which inputs they look at.
/// </summary>
/// <param name="name">Name for reports.</param>
/// <param name="solver">Quantizes a layer.</param>
/// <param name="options">Inputs and target of a layer.</param>
internal sealed class LayerwiseMethod(string name, ILayerSolver solver, LayerwiseOptions options) : IBlockMethod
{
    private const ulong SeedPath = 0x464C5251;

    /// <inheritdoc/>
    public string Name => name;

    /// <inheritdoc/>
    public bool NeedsCalibration => true;

    /// <inheritdoc/>
    public bool NeedsFullPrecisionInput => true;

    /// <inheritdoc/>
    public QuantizedBlock Quantize(BlockContext context)
    {
        BlockStreams streams = context.Streams ?? throw new ArgumentException($"The method {name} needs calibration streams.", nameof(context));
        ActivationStore fullInput = streams.FullPrecisionInput ?? throw new ArgumentException($"The method {name} needs the full-precision input.", nameof(context));
        IReadOnlyList<LinearSlot> slots = context.Block.Slots;
        var dense = slots.Select(slot => slot.Weight).ToArray();
        var quantized = (IWeightSource[])dense.Clone();
        var weights = new QuantizedWeight[slots.Count];
        var reports = new LayerReport[slots.Count];
        var warnings = new List<string>();
        var statistics = new StageStatistics(context.Block, context.Device, context.Cancellation);
        InputStatistics[]? all = options.QuantizedInputs ? null : statistics.All(fullInput, streams.TrainingWindows);
        try
        {
            int done = 0;
            for (int stage = 0; stage < DecoderBlock.InputStages.Count; stage++)
            {
                (InputStatistics inputs, double[]? cross) = all is not null ? (all[stage], null) : statistics.Pair(
                    stage, fullInput, streams.QuantizedInput, streams.TrainingWindows, options.Propagation > 0, () => Use(dense), () => Use(quantized));
                foreach (int slot in DecoderBlock.InputStages[stage])
                {
                    context.Cancellation.ThrowIfCancellationRequested();
                    LayerProblem problem = Problem(context, slot, ((DenseWeight)dense[slot]).Value, inputs, cross);
                    LayerSolution solution = solver.Solve(problem);
                    weights[slot] = solution.Weight;
                    warnings.AddRange(solution.Warnings);
                    reports[slot] = Report(slots[slot].Name, problem, solution.Weight);
                    context.Progress?.Report(new BlockProgress(context.Block.Index, ++done, slots.Count, reports[slot].ErrorAfter));
                    if (!options.QuantizedInputs) continue;
                    quantized[slot] = Dequantized(solution.Weight, context.Device);
                    slots[slot].Exchange(quantized[slot]);
                }
                if (all is not null) all[stage] = new InputStatistics(0);
            }
        }
        finally
        {
            Use(dense);
            for (int i = 0; i < slots.Count; i++)
            {
                if (quantized[i] != dense[i]) quantized[i].Dispose();
            }
        }
        return new QuantizedBlock(weights) { Layers = reports, Warnings = warnings };

        void Use(IWeightSource[] sources)
        {
            for (int i = 0; i < slots.Count; i++) slots[i].Exchange(sources[i]);
        }
    }

    private LayerProblem Problem(BlockContext context, int slot, Tensor weight, InputStatistics inputs, double[]? cross)
    {
        LinearSlot linear = context.Block.Slots[slot];
        string module = $"{context.Block.Name}.{linear.Name}";
        LayerPlan? plan = context.Plan?.Layer(module);
        double[] values = [.. weight.ToArray().Select(value => (double)value)];
        if (cross is not null)
        {
            DampedCovariance metric = DampedCovariance.Of(inputs, options.Damping, module, []);
            values = ErrorPropagation.Shift(values, linear.OutFeatures, cross, inputs, metric, options.Propagation, context.Device.HostWorkers);
        }
        return new LayerProblem
        {
            Name = module,
            Weight = values,
            OutFeatures = linear.OutFeatures,
            InFeatures = linear.InFeatures,
            Inputs = inputs,
            Grid = context.Scheme.GridOf(linear.Name, plan?.Bits),
            ScaleType = context.Scheme.ScaleType,
            PlannedRank = plan?.Rank,
            RowSensitivity = plan?.RowSensitivity,
            Seed = SeededRandom.Derive(context.Seed, SeedPath, (ulong)context.Block.Index, (ulong)slot).NextUInt64(),
            Workers = context.Device.HostWorkers,
            Cancellation = context.Cancellation,
        };
    }

    private static DenseWeight Dequantized(QuantizedWeight weight, Device device)
    {
        var values = new float[weight.Codes.Length];
        weight.Reconstruct(values);
        return new DenseWeight(device.From(values, weight.OutFeatures, weight.InFeatures));
    }

    private static LayerReport Report(string slot, LayerProblem problem, QuantizedWeight weight)
    {
        int m = problem.OutFeatures, n = problem.InFeatures;
        double[] covariance = problem.Inputs.Covariance;
        double Energy(double[] matrix) => QuadraticForm.Rows(matrix, covariance, m, n, problem.Workers).Sum();

        var stored = new float[weight.Codes.Length];
        weight.Reconstruct(stored);
        var difference = new double[stored.Length];
        for (int i = 0; i < stored.Length; i++) difference[i] = problem.Weight[i] - stored[i];
        double whole = Energy(problem.Weight);
        double before = Energy(problem.RoundToNearest(problem.Weight).ErrorOf(problem.Weight));
        double Relative(double energy) => whole > 0 ? Math.Sqrt(Math.Max(0, energy) / whole) : 0;
        return new LayerReport(
            slot, m, n, weight.Grid.Bits, weight.Branch?.Rank ?? 0, weight.BitsPerWeight, Relative(before), Relative(Energy(difference)));
    }
}
