using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.Layerwise;

namespace LowRankQuant.Quantization.Methods.Budget;

/// <summary>
/// Plans grids and ranks for a whole model: what its outputs feel (<see cref="OutputSensitivity"/>), what every choice of every layer would lose
/// (<see cref="ILayerChoices"/>, on the inputs of the full-precision model), and the budget spent where the loss falls most per stored bit
/// (<see cref="WaterFilling"/>).
/// </summary>
/// <param name="context">The model in full precision, and what it is calibrated on.</param>
/// <param name="damping">Of input covariances.</param>
internal sealed class ModelPlanner(ModelPlanContext context, double damping)
{
    /// <summary>What is done while layers are looked at.</summary>
    public const string Planning = "planning grids and ranks";

    private readonly CausalModel _model = context.Model;

    /// <summary>A plan with the same rule for all layers; only their sensitivity is measured.</summary>
    /// <param name="rankOf">The rank of a layer.</param>
    public ModelPlan Uniform(Func<LinearShape, int> rankOf)
    {
        Dictionary<string, double[]> sensitivity = Sensitivity();
        return new ModelPlan(Modules().ToDictionary(
            module => module.Name, module => new LayerPlan(null, rankOf(module.Shape), sensitivity[module.Name]), StringComparer.Ordinal));
    }

    /// <summary>A plan within a budget.</summary>
    /// <param name="targetBits">Stored bits per weight over all linears.</param>
    /// <param name="choices">What there is to choose.</param>
    /// <exception cref="ArgumentException">Even the cheapest choices exceed the budget.</exception>
    public ModelPlan Spend(double targetBits, ILayerChoices choices)
    {
        Dictionary<string, double[]> sensitivity = Sensitivity();
        List<LayerOptions> options = Options(choices, sensitivity);
        double weights = Modules().Sum(module => (double)module.Shape.OutFeatures * module.Shape.InFeatures);
        LayerChoice[] chosen = WaterFilling.Spend(options, targetBits * weights);
        var layers = new Dictionary<string, LayerPlan>(StringComparer.Ordinal);
        for (int i = 0; i < chosen.Length; i++)
            layers[options[i].Name] = new LayerPlan(chosen[i].Grid, chosen[i].Rank, sensitivity[options[i].Name]);
        return new ModelPlan(layers);
    }

    private Dictionary<string, double[]> Sensitivity()
    {
        return OutputSensitivity.Measure(
            _model, context.Windows, context.Masks, context.Activations, context.Scratch, context.Seed,
            (done, all) => context.Progress?.Invoke(ModelPlanContext.Measuring, done, all), context.Cancellation);
    }

    private IEnumerable<(string Name, LinearShape Shape)> Modules()
    {
        for (int i = 0; i < _model.Config.Layers; i++)
        {
            foreach ((string name, int outFeatures, int inFeatures) in _model.LinearsOf(i))
                yield return ($"{_model.BlockName(i)}.{name}", new LinearShape(name, outFeatures, inFeatures));
        }
    }

    private List<LayerOptions> Options(ILayerChoices choices, Dictionary<string, double[]> sensitivity)
    {
        var options = new List<LayerOptions>();
        using ActivationStream stream = ActivationStream.Embed(
            _model, context.Calibration.Windows, new StreamOptions(context.Activations, context.Scratch) { Cancellation = context.Cancellation });
        for (int index = 0; index < _model.Config.Layers; index++)
        {
            using IDecoderBlock block = _model.LoadBlock(index);
            var found = new LayerOptions[block.Slots.Count];
            new StageStatistics(block, _model.Device, context.StatisticsBytes, context.Cancellation) { Masks = context.Calibration.Masks }.Visit(stream, new WindowRange(0, stream.Windows), advance: true, (_, site, inputs) =>
            {
                DampedCovariance metric = DampedCovariance.Of(inputs, damping, block.Name, [], _model.Device.HostWorkers);
                choices.BeginStage(metric);
                foreach (int slot in site.Slots)
                {
                    context.Cancellation.ThrowIfCancellationRequested();
                    string module = $"{block.Name}.{block.Slots[slot].Name}";
                    found[slot] = new LayerOptions(module, [.. choices.For(module, block.Slots[slot], inputs, metric, sensitivity[module])]);
                }
            });
            options.AddRange(found);
            _model.Device.Trim();
            context.Progress?.Invoke(Planning, index + 1, _model.Config.Layers);
        }
        return options;
    }
}
