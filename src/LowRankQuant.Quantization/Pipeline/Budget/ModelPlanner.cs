using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods.Layerwise;

namespace LowRankQuant.Quantization.Pipeline.Budget;

/// <summary>
/// Plans grids and ranks for a whole model: what its outputs feel (<see cref="OutputSensitivity"/>), what every choice of every layer would lose
/// (<see cref="ILayerChoices"/>, on the inputs of the full-precision model), and the budget spent where the loss falls most per stored bit
/// (<see cref="WaterFilling"/>).
/// </summary>
/// <param name="model">The model in full precision.</param>
/// <param name="seed">Draws the labels of the sensitivity.</param>
/// <param name="damping">Of input covariances.</param>
/// <param name="scratch">Folder for activations that do not fit the memory.</param>
internal sealed class ModelPlanner(CausalModel model, ulong seed, double damping, string scratch)
{
    // Enough for stable means; the diagonal is averaged over tokens.
    private const int SensitivityTokens = 8192;

    /// <summary>Told what is done: stage, steps done, steps in all.</summary>
    public Action<string, int, int>? Progress { get; init; }

    /// <summary>Bytes that statistics of experts may take together; never changes a result.</summary>
    public long StatisticsBytes { get; init; } = ExpertPool.MostBytes;

    /// <summary>Windows that the sensitivity is measured on.</summary>
    public static int SensitivityWindows(int length, int windows) => Math.Clamp(SensitivityTokens / length, 1, windows);

    /// <summary>A plan with the same rule for all layers; only their sensitivity is measured.</summary>
    /// <param name="calibration">Token ids.</param>
    /// <param name="budget">Memory for activations.</param>
    /// <param name="rankOf">The rank of a layer.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public ModelPlan Uniform(CalibrationSet calibration, MemoryBudget budget, Func<LinearShape, int> rankOf, CancellationToken cancellation)
    {
        Dictionary<string, double[]> sensitivity = Sensitivity(calibration, budget, cancellation);
        return new ModelPlan(Modules().ToDictionary(
            module => module.Name, module => new LayerPlan(null, rankOf(module.Shape), sensitivity[module.Name]), StringComparer.Ordinal));
    }

    /// <summary>A plan within a budget.</summary>
    /// <param name="calibration">Token ids.</param>
    /// <param name="budget">Memory for activations.</param>
    /// <param name="targetBits">Stored bits per weight over all linears.</param>
    /// <param name="choices">What there is to choose.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <exception cref="ArgumentException">Even the cheapest choices exceed the budget.</exception>
    public ModelPlan Spend(
        CalibrationSet calibration, MemoryBudget budget, double targetBits, ILayerChoices choices, CancellationToken cancellation)
    {
        Dictionary<string, double[]> sensitivity = Sensitivity(calibration, budget, cancellation);
        List<LayerOptions> options = Options(calibration, budget, choices, sensitivity, cancellation);
        double weights = Modules().Sum(module => (double)module.Shape.OutFeatures * module.Shape.InFeatures);
        LayerChoice[] chosen = WaterFilling.Spend(options, targetBits * weights);
        var layers = new Dictionary<string, LayerPlan>(StringComparer.Ordinal);
        for (int i = 0; i < chosen.Length; i++)
            layers[options[i].Name] = new LayerPlan(chosen[i].Grid, chosen[i].Rank, sensitivity[options[i].Name]);
        return new ModelPlan(layers);
    }

    private Dictionary<string, double[]> Sensitivity(CalibrationSet calibration, MemoryBudget budget, CancellationToken cancellation)
    {
        int windows = SensitivityWindows(calibration.SequenceLength, calibration.Windows.Length);
        return OutputSensitivity.Measure(
            model, calibration.Windows[..windows], budget, scratch, seed, (done, all) => Progress?.Invoke("measuring what the model feels", done, all), cancellation);
    }

    private IEnumerable<(string Name, LinearShape Shape)> Modules()
    {
        for (int i = 0; i < model.Config.Layers; i++)
        {
            foreach ((string name, int outFeatures, int inFeatures) in model.LinearsOf(i))
                yield return ($"{model.BlockName(i)}.{name}", new LinearShape(name, outFeatures, inFeatures));
        }
    }

    private List<LayerOptions> Options(
        CalibrationSet calibration, MemoryBudget budget, ILayerChoices choices, Dictionary<string, double[]> sensitivity, CancellationToken cancellation)
    {
        var options = new List<LayerOptions>();
        using ActivationStream stream = ActivationStream.Embed(model, calibration.Windows, new StreamOptions(budget, scratch) { Cancellation = cancellation });
        for (int index = 0; index < model.Config.Layers; index++)
        {
            using IDecoderBlock block = model.LoadBlock(index);
            var found = new LayerOptions[block.Slots.Count];
            new StageStatistics(block, model.Device, StatisticsBytes, cancellation).Visit(stream, new WindowRange(0, stream.Windows), advance: true, (_, site, inputs) =>
            {
                DampedCovariance metric = DampedCovariance.Of(inputs, damping, block.Name, []);
                choices.BeginStage(metric);
                foreach (int slot in site.Slots)
                {
                    cancellation.ThrowIfCancellationRequested();
                    string module = $"{block.Name}.{block.Slots[slot].Name}";
                    found[slot] = new LayerOptions(module, [.. choices.For(module, block.Slots[slot], inputs, metric, sensitivity[module])]);
                }
            });
            options.AddRange(found);
            model.Device.Trim();
            Progress?.Invoke("planning grids and ranks", index + 1, model.Config.Layers);
        }
        return options;
    }
}
