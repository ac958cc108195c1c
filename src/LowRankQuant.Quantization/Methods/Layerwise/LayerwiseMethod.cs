using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>
/// Quantizes every linear of a block by itself, from the second moments of its inputs. FLRQ, flrq+, GPTQ and their peers differ only in the
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
    public bool NeedsFullPrecisionInput => options.LooksAtFullPrecision;

    /// <inheritdoc/>
    public bool NeedsFullPrecisionInputs => options.LooksAtFullPrecision;

    // Whether the inputs of every layer of a block are known before any of them is quantized, from one stream.
    private bool KnowsInputs => !options.QuantizedInputs || (!options.Sequential && !options.LooksAtFullPrecision);

    /// <inheritdoc/>
    public QuantizedBlock Quantize(BlockContext context)
    {
        BlockStreams streams = context.Streams ?? throw new ArgumentException($"The method {name} needs calibration streams.", nameof(context));
        ActivationStream fullInput = !options.LooksAtFullPrecision ? streams.QuantizedInput
            : streams.FullPrecisionInput ?? throw new ArgumentException($"The method {name} needs the full-precision input.", nameof(context));
        ActivationStream seen = options.QuantizedInputs ? streams.QuantizedInput : fullInput;
        bool chooses = options.Dampings.Count > 1;
        if (chooses && streams.HeldOutWindows == 0) throw new ArgumentException($"The method {name} chooses its damping on held-out windows and has none.", nameof(context));
        IReadOnlyList<LinearSlot> slots = context.Block.Slots;
        var dense = slots.Select(slot => slot.Weight).ToArray();
        var quantized = (IWeightSource[])dense.Clone();
        var weights = new QuantizedWeight[slots.Count];
        var reports = new LayerReport[slots.Count];
        var warnings = new List<string>();
        var statistics = new StageStatistics(context.Block, context.Device, context.StatisticsBytes, context.Cancellation) { FullPrecisionInputs = streams.FullPrecisionInputs, Masks = streams.Masks };
        StageQueue? training = KnowsInputs ? new StageQueue(statistics, seen, WindowRange.Training(streams)) : null;
        StageQueue? judging = KnowsInputs && chooses ? new StageQueue(statistics, seen, WindowRange.HeldOut(streams)) : null;
        try
        {
            int done = 0;
            IReadOnlyList<InputStage> stages = statistics.Stages(seen);
            for (int stage = 0; stage < stages.Count; stage++)
            {
                IReadOnlyList<InputSite> sites = stages[stage].Sites;
                var experts = new ExpertPool(context.Block, sites, options.ExpertFloor, warnings);
                foreach (Range some in ExpertPool.Parts(sites, slots, context.StatisticsBytes))
                {
                    StageInputs[] inputs = Inputs(training, stage, some, WindowRange.Training(streams), experts);
                    if (!options.Solves) continue;
                    StageInputs[]? heldOut = chooses ? Inputs(judging, stage, some, WindowRange.HeldOut(streams), null) : null;
                    ManagedMemory.TakeBack(inputs.Max(known => sizeof(double) * (long)known.Statistics.Size * known.Statistics.Size));
                    foreach ((int site, int slot) in sites.Take(some).SelectMany((known, site) => known.Slots.Select(slot => (site, slot))))
                    {
                        context.Cancellation.ThrowIfCancellationRequested();
                        // What hardly any held-out token reaches cannot choose a damping.
                        StageInputs? judge = heldOut is null ? null : heldOut[site].Statistics.Tokens > 0 ? heldOut[site] : inputs[site];
                        (LayerProblem problem, LayerSolution solution) = Solve(context, slot, ((IValueSource)dense[slot]).ToArray(), inputs[site], judge);
                        weights[slot] = solution.Weight;
                        warnings.AddRange(solution.Warnings);
                        problem.TakeBack();
                        LayerReport report = LayerReport.Measure(slots[slot].Name, problem.Weight, inputs[site].Statistics, solution.Weight, context.Device.HostWorkers);
                        problem.TakeBack();
                        reports[slot] = chooses ? report with { Damping = problem.Damping } : report;
                        context.Progress?.Report(new BlockProgress(context.Block.Index, ++done, slots.Count, report.ErrorAfter));
                        if (!options.QuantizedInputs || !options.Sequential) continue;
                        quantized[slot] = solution.Weight.InPlaceOf(dense[slot], context.Device);
                        slots[slot].Exchange(quantized[slot]);
                    }
                    // The next part's statistics take as much again.
                    context.Trim?.Invoke();
                }
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

        StageInputs[] Inputs(StageQueue? single, int stage, Range some, WindowRange windows, ExpertPool? experts)
        {
            // Statistics of experts are taken when their turn comes: all of a block at once would not fit.
            if (single?.Take(stage) is { } only) return [new StageInputs(only, null)];
            // What is quantized is in its place where later layers are to see it, and nowhere else.
            bool cross = options.QuantizedInputs && options.LooksAtFullPrecision;
            StageInputs[] inputs = statistics.Pair(stage, fullInput, seen, windows, some, cross, () => Use(dense), () => Use(quantized));
            return experts is null ? inputs : experts.Fill(inputs, some, () => statistics.Pool(stage, fullInput, seen, windows, cross, () => Use(dense), () => Use(quantized)));
        }

        void Use(IWeightSource[] sources)
        {
            for (int i = 0; i < slots.Count; i++) slots[i].Exchange(sources[i]);
        }
    }

    // With several dampings, the result that errs least on the held-out windows.
    private (LayerProblem Problem, LayerSolution Solution) Solve(BlockContext context, int slot, float[] weight, StageInputs inputs, StageInputs? heldOut)
    {
        double[] dense = Array.ConvertAll(weight, value => (double)value);
        (LayerProblem Problem, LayerSolution Solution)? best = null;
        double least = double.PositiveInfinity;
        foreach (double damping in options.Dampings)
        {
            LayerProblem problem = Problem(context, slot, dense, inputs, damping);
            LayerSolution solution = solver.Solve(problem);
            if (heldOut is null) return (problem, solution);
            double[] candidate = Array.ConvertAll(Stored(solution.Weight), value => (double)value);
            double error = heldOut.ErrorOf(dense, candidate, problem.OutFeatures, problem.RowSensitivity, problem.Workers);
            if (best is not null && !(error < least)) continue;
            (best, least) = ((problem, solution), error);
        }
        return best ?? throw new InvalidOperationException($"The method {name} has no damping to try.");
    }

    private LayerProblem Problem(BlockContext context, int slot, double[] weight, StageInputs inputs, double damping)
    {
        LinearSlot linear = context.Block.Slots[slot];
        string module = $"{context.Block.Name}.{linear.Name}";
        LayerPlan? plan = context.Plan?.Find(module);
        double[] target = weight;
        if (options.Propagation > 0 && inputs.Cross is { } cross)
        {
            DampedCovariance metric = DampedCovariance.Of(inputs.Statistics, damping, module, [], context.Device.HostWorkers);
            target = ErrorPropagation.Shift(weight, linear.OutFeatures, cross, inputs.Statistics, metric, options.Propagation, context.Device.HostWorkers);
            ManagedMemory.TakeBack(sizeof(double) * metric.Matrix.LongLength);
        }
        return new LayerProblem
        {
            Name = module,
            Weight = target,
            OutFeatures = linear.OutFeatures,
            InFeatures = linear.InFeatures,
            Inputs = inputs.Statistics,
            Cross = options.GivesCross ? inputs.Cross : null,
            Grid = context.Scheme.GridOf(module, plan?.Grid),
            FusedLargest = context.SchemeOf(linear).FusedLargest,
            ScaleType = context.Scheme.ScaleType,
            ScaleDigits = context.Scheme.For(module).ScaleDigits,
            Damping = damping,
            PlannedRank = plan?.Rank,
            // An expert that no token reached feels nothing at all, which says nothing about its rows.
            RowSensitivity = plan?.RowSensitivity is { } rows && rows.Any(row => row > 0) ? rows : null,
            Seed = SeededRandom.Derive(context.Seed, SeedPath, (ulong)context.Block.Index, (ulong)slot).NextUInt64(),
            Workers = context.Device.HostWorkers,
            Cancellation = context.Cancellation,
        };
    }

    private static float[] Stored(QuantizedWeight weight)
    {
        var values = new float[weight.Codes.Length];
        weight.Reconstruct(values);
        return values;
    }
}
