using System.Diagnostics;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Methods.Budget;
using LowRankQuant.Quantization.Methods.FlrqPlus;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Corrections;

/// <summary>
/// Finds low-rank branches that make a quantized model answer like its original: per layer the whitened fit of W - Wq in the inputs that the layer gets
/// in the quantized model, corrected so far, with the target shifted as in flrq+. Nothing of the quantized model changes. A finished block is on disk
/// before the next begins; a run that starts again goes on with the same bytes.
/// </summary>
/// <param name="quantized">The quantized model, from any source.</param>
/// <param name="reference">The original.</param>
/// <param name="options">What is done.</param>
/// <param name="folder">Holds the plan and finished blocks, and activations that do not fit the memory.</param>
public sealed class BranchCorrection(CausalModel quantized, CausalModel reference, BranchCorrectionOptions options, RunFolder folder)
{
    private readonly BranchStore _store = new(folder, options.FactorBits);
    private readonly List<string> _warnings = [];

    /// <summary>Told what is done: stage, steps done, steps in all.</summary>
    public Action<string, int, int>? Progress { get; init; }

    /// <summary>What the user should know.</summary>
    public IReadOnlyList<string> Warnings => _warnings;

    /// <summary>Finds all branches, in model order.</summary>
    /// <exception cref="ArgumentException">The budget does not even hold the quantized model.</exception>
    public IReadOnlyList<CorrectedLayer> Run(CalibrationSet calibration, MemoryBudget budget, CancellationToken cancellation)
    {
        ModelPlan plan = Plan(calibration, budget, cancellation);
        using var streams = new StreamPair(reference, calibration, budget, folder.Work);
        var layers = new List<CorrectedLayer>();
        for (int index = 0; index < reference.Config.Layers; index++)
        {
            using IDecoderBlock block = reference.LoadBlock(index);
            layers.AddRange(_store.Has(index) ? Replay(block, streams, cancellation) : Correct(block, plan, streams, calibration.Windows.Length, cancellation));
            reference.Device.Trim();
            Progress?.Invoke("fitting branches", index + 1, reference.Config.Layers);
        }
        return layers;
    }

    private ModelPlan Plan(CalibrationSet calibration, MemoryBudget budget, CancellationToken cancellation)
    {
        if (ModelPlan.TryRead(folder.Work) is { } known) return known;
        var context = new ModelPlanContext
        {
            Model = reference,
            Calibration = calibration,
            Activations = budget,
            StatisticsBytes = BlockContext.MostStatisticsBytes,
            Scratch = folder.Work,
            Seed = options.Seed,
            Progress = Progress,
            Cancellation = cancellation,
        };
        var planner = new ModelPlanner(context, options.Damping);
        var choices = new BranchChoices(quantized, options.Rank, options.FactorBits, reference.Device.HostWorkers);
        ModelPlan plan = options.TargetBits is { } target
            ? planner.Spend(target, choices)
            : planner.Uniform(shape => Math.Min(options.Rank, Math.Min(shape.OutFeatures, shape.InFeatures)));
        plan.Write(folder.Work);
        return plan;
    }

    // A block that an earlier session finished: only the streams have to pass it.
    private IReadOnlyList<CorrectedLayer> Replay(IDecoderBlock block, StreamPair streams, CancellationToken cancellation)
    {
        (IReadOnlyList<CorrectedLayer> layers, IReadOnlyList<string> warnings) = _store.Read(block);
        _warnings.AddRange(warnings);
        IReadOnlyList<LinearSlot> slots = block.Slots;
        streams.Full.Advance(block, null, cancellation);
        IWeightSource[] dense = [.. slots.Select((slot, i) => slot.Exchange(new DenseWeight(Read(block, slot, layers[i].Branch))))];
        streams.Quantized.Advance(block, null, cancellation);
        for (int i = 0; i < dense.Length; i++) slots[i].Exchange(dense[i]).Dispose();
        return layers;
    }

    private List<CorrectedLayer> Correct(IDecoderBlock block, ModelPlan plan, StreamPair streams, int windows, CancellationToken cancellation)
    {
        IReadOnlyList<LinearSlot> slots = block.Slots;
        IWeightSource[] dense = [.. slots.Select(slot => slot.Weight)];
        IWeightSource[] stored = [.. slots.Select(slot => (IWeightSource)new DenseWeight(Read(block, slot, null)))];
        var result = new CorrectedLayer[slots.Count];
        int warned = _warnings.Count;
        long start = Stopwatch.GetTimestamp();
        var statistics = new StageStatistics(block, reference.Device, ExpertPool.MostBytes, cancellation);
        try
        {
            IReadOnlyList<InputStage> stages = statistics.Stages(streams.Full);
            for (int stage = 0; stage < stages.Count; stage++)
            {
                IReadOnlyList<InputSite> sites = stages[stage].Sites;
                var experts = new ExpertPool(block, sites, options.ExpertFloor, _warnings);
                var range = new WindowRange(0, windows);
                bool cross = options.Propagation > 0;
                foreach (Range some in ExpertPool.Parts(sites, slots, ExpertPool.MostBytes))
                {
                    StageInputs[] inputs = experts.Fill(
                        statistics.Pair(stage, streams.Full, streams.Quantized, range, some, cross, () => Use(dense), () => Use(stored)), some,
                        () => statistics.Pool(stage, streams.Full, streams.Quantized, range, cross, () => Use(dense), () => Use(stored)));
                    foreach ((int site, int slot) in sites.Take(some).SelectMany((known, site) => known.Slots.Select(slot => (site, slot))))
                    {
                        result[slot] = Fit(
                            block, slots[slot], ((IValueSource)dense[slot]).ToArray(), (DenseWeight)stored[slot], inputs[site].Statistics, inputs[site].Cross, plan);
                        if (result[slot].Branch is { } branch) branch.AddTo(((DenseWeight)stored[slot]).Value.Span);
                    }
                }
            }
            Use(dense);
            streams.Full.Advance(block, null, cancellation);
            Use(stored);
            streams.Quantized.Advance(block, null, cancellation);
            _store.Write(block.Index, result, _warnings[warned..], Stopwatch.GetElapsedTime(start).TotalSeconds);
            return [.. result];
        }
        finally
        {
            Use(dense);
            foreach (IWeightSource source in stored) source.Dispose();
        }

        void Use(IWeightSource[] sources)
        {
            for (int i = 0; i < slots.Count; i++) slots[i].Exchange(sources[i]);
        }
    }

    // The quantized weight, with its branch where there is one already.
    private Tensor Read(IDecoderBlock block, LinearSlot slot, LowRankBranch? branch)
    {
        var values = new float[slot.OutFeatures * slot.InFeatures];
        quantized.Checkpoint.Read($"{block.Name}.{slot.Name}.weight", values);
        branch?.AddTo(values);
        return reference.Device.From(values, slot.OutFeatures, slot.InFeatures);
    }

    private CorrectedLayer Fit(
        IDecoderBlock block, LinearSlot slot, float[] weight, DenseWeight stored, InputStatistics inputs, double[]? cross, ModelPlan plan)
    {
        string module = $"{block.Name}.{slot.Name}";
        int m = slot.OutFeatures, n = slot.InFeatures;
        WorkerPool workers = reference.Device.HostWorkers;
        LayerPlan layer = plan.Layer(module);
        DampedCovariance metric = DampedCovariance.Of(inputs, options.Damping, module, _warnings, workers);
        double[] target = [.. weight.Select(value => (double)value)];
        if (cross is not null) target = ErrorPropagation.Shift(target, m, cross, inputs, metric, options.Propagation, workers);
        double whole = QuadraticForm.Rows(target, inputs.Covariance, m, n, workers).Sum();
        float[] values = stored.Value.ToArray();
        var error = new double[target.Length];
        for (int i = 0; i < error.Length; i++) error[i] = target[i] - values[i];
        LowRankFactors factors = WhitenedFit.Fit(error, m, layer.Rank, metric, layer.RowSensitivity.Any(row => row > 0) ? layer.RowSensitivity : null, workers);
        factors = options.FactorBits == 8 ? ByteFactors.Round(factors, error, m, metric, workers) : factors.ToHalf();
        double baseBits = quantized.Checkpoint.StoredBitsOf($"{module}.weight"), count = (double)m * n;
        LowRankBranch? branch = factors.ToBranch(options.FactorBits);
        double Relative(double[] difference) =>
            whole > 0 ? Math.Sqrt(Math.Max(0, QuadraticForm.Rows(difference, inputs.Covariance, m, n, workers).Sum()) / whole) : 0;
        var report = new LayerReport(
            slot.Name, m, n, (int)Math.Round(baseBits / count), factors.Rank, (baseBits + (branch?.StoredBits ?? 0)) / count, Relative(error),
            Relative(factors.SubtractFrom(error, m, n, workers)));
        return new CorrectedLayer(module, branch, report);
    }

    /// <summary>Input of the next block on the full-precision and on the quantized stream.</summary>
    private sealed class StreamPair : IDisposable
    {
        public StreamPair(CausalModel model, CalibrationSet calibration, MemoryBudget budget, string folder)
        {
            Full = ActivationStream.Embed(model, calibration.Windows, new StreamOptions(budget, folder));
            Quantized = Full.Fork();
        }

        public ActivationStream Full { get; }

        public ActivationStream Quantized { get; }

        public void Dispose()
        {
            Quantized.Dispose();
            Full.Dispose();
        }
    }
}
