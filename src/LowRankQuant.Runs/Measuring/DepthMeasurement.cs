using System.Diagnostics;
using System.Globalization;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Runs.Measuring;

/// <summary>A report in depth: the collector of one evaluation, and behind it what takes passes of its own, samples and linears alone.</summary>
/// <param name="options">What is looked at.</param>
/// <param name="model">The model that is judged; not owned.</param>
/// <param name="blocks">Its blocks where they are not its own; null for its own.</param>
/// <param name="tokenizer">The tokenizer of the windows; null for none.</param>
/// <param name="observer">Is told how far it is.</param>
/// <param name="cancellation">Asks to stop.</param>
internal sealed class DepthMeasurement(
    DepthOptions options, CausalModel model, Func<int, IDecoderBlock>? blocks, ITokenizer? tokenizer, IRunObserver observer, CancellationToken cancellation)
{
    /// <summary>Looks on while the model is compared with its reference.</summary>
    public DepthCollector Collector { get; } = new(options, model, tokenizer);

    /// <summary>Why linears were asked to be exchanged one by one and cannot be; null where they can, or nobody asked. Looks at norms, and loads nothing else.</summary>
    /// <param name="options">What is asked for.</param>
    /// <param name="reference">The reference.</param>
    /// <param name="model">The model.</param>
    public static string? Problem(DepthOptions options, CausalModel reference, CausalModel model) =>
        options.SwapWindows is > 0 && ModuleSwaps.Obstacle(reference, model) is { } obstacle ? $"`swap_windows` {options.SwapWindows}: {obstacle}; leave it out, or give 0." : null;

    /// <summary>Adds samples and linears alone to figures that the collector looked on at.</summary>
    /// <param name="figures">The figures.</param>
    /// <param name="reference">The reference; blocks that it holds are given back.</param>
    /// <param name="memoryBytes">Memory of the run; null for what the machine has.</param>
    public EvaluationResult Complete(EvaluationResult figures, ModelRunner reference, long? memoryBytes)
    {
        DepthReport depth = figures.Depth ?? throw new ArgumentException("The collector did not look on.", nameof(figures));
        long start = Stopwatch.GetTimestamp();
        reference.ReleaseBlocks();
        depth = depth with { Samples = Samples(reference.Model, memoryBytes), Modules = Modules(reference) };
        reference.ReleaseBlocks();
        return figures with { Depth = depth, Seconds = figures.Seconds + Stopwatch.GetElapsedTime(start).TotalSeconds, PeakMemoryBytes = ProcessMemory.Peak };
    }

    /// <summary>Adds the noise floor to figures that are complete, and its time to theirs.</summary>
    /// <param name="figures">The figures.</param>
    /// <param name="measure">Measures it.</param>
    public static EvaluationResult WithFloor(EvaluationResult figures, Func<NoiseFloor> measure)
    {
        long start = Stopwatch.GetTimestamp();
        NoiseFloor floor = measure();
        return figures with { Depth = figures.Depth! with { Bf16Floor = floor }, Seconds = figures.Seconds + Stopwatch.GetElapsedTime(start).TotalSeconds, PeakMemoryBytes = ProcessMemory.Peak };
    }

    private IReadOnlyList<SampleText> Samples(CausalModel reference, long? memoryBytes)
    {
        if (!TextGenerator.Fits(model, memoryBytes) || !TextGenerator.Fits(reference, memoryBytes))
        {
            observer.Note("No texts are generated side by side: a model's weights as 32-bit floats do not fit the memory budget.");
            return [];
        }
        observer.Stage(RunStage.Samples);
        return SampleTexts.Of(model, blocks, reference, tokenizer, Collector.Windows, (done, all) => observer.Progress(done, all), cancellation);
    }

    private IReadOnlyList<ModuleLoss> Modules(ModelRunner reference)
    {
        if (options.SwapWindows == 0) return [];
        if (ModuleSwaps.Obstacle(reference.Model, model) is { } obstacle)
        {
            observer.Note($"What linears lose one by one is not measured: {obstacle}.");
            return [];
        }
        int count = options.SwapWindows ?? SwapCost.Affordable(model, [.. Collector.Windows.Select(window => window.Ids.Length)], Collector.Tokens, DepthOptions.UsualSwapWindows);
        IReadOnlyList<DepthWindow> windows = [.. Collector.Windows.Take(count)];
        if (count > windows.Count) observer.Note($"`swap_windows` {count}: the text has {windows.Count}.");
        double ratio = SwapCost.Ratio(model, Collector.Windows.Take(Math.Max(1, count)).Sum(window => (long)window.Ids.Length), Collector.Tokens);
        string times = string.Create(CultureInfo.InvariantCulture, $"{ratio:G2} times as much work as the evaluation");
        if (count == 0)
        {
            observer.Note($"What linears lose one by one is not measured, as one window takes {times}; `swap_windows` 1 asks for it.");
            return [];
        }
        observer.Stage(RunStage.Modules);
        observer.Note($"On {windows.Count} windows, {times}; `swap_windows` 0 leaves it out.");
        return new ModuleSwaps(reference, model, blocks).Measure(windows, done => observer.Progress(done, model.Config.Layers), cancellation);
    }
}
