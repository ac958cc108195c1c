using System.Globalization;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Vocabulary;

/// <summary>
/// Quantizes the matrices around the blocks. An embedding of its own is rounded to nearest before the first block, so that the blocks are fitted to what it gives:
/// it is a table, and no inputs say which of its errors matter. The head, and the one matrix of a tied model, comes after the last block: methods that look at
/// inputs look at those of the head (<see cref="HeadRounding"/>), round to nearest does not.
/// </summary>
/// <param name="model">The model in full precision.</param>
/// <param name="recipe">What is done.</param>
/// <param name="store">Keeps what is finished.</param>
public sealed class VocabularyQuantizer(CausalModel model, Recipe recipe, VocabularyStore store)
{
    private readonly VocabularyRecipe _vocabulary = store.Recipe;

    /// <summary>Clock for durations.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Told about every finished matrix, those of an earlier session included; null for nobody.</summary>
    public IProgress<VocabularyReport>? Progress { get; init; }

    /// <summary>Whether a matrix waits for the inputs of the head, or for its turn behind the blocks.</summary>
    public bool HeadIsPending => _vocabulary.Parts.Any(part => _vocabulary.IsHead(part) && !store.Has(part));

    /// <summary>Quantizes the embedding, where it has a matrix and a grid of its own.</summary>
    public void QuantizeEmbedding() => Quantize(isHead: false, null);

    /// <summary>The embedding that the blocks of the quantized model get; null for that in full precision, a tied matrix before its turn included.</summary>
    public InputEmbedding? LoadEmbedding() => _vocabulary is { Tied: false, Embedding: not null } ? store.LoadEmbedding() : null;

    /// <summary>Quantizes what serves as the head.</summary>
    /// <param name="streams">Windows behind the last block; null for methods without.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public void QuantizeHead(BlockStreams? streams, CancellationToken cancellation)
    {
        ILayerSolver? solver = HeadRounding.SolverOf(recipe);
        if (solver is not null && streams is null) throw new ArgumentException("The method looks at the inputs of the head.", nameof(streams));
        Quantize(isHead: true, solver is null ? null : part => Fitted(part, solver, streams!, cancellation));
    }

    /// <summary>A matrix rounded to nearest as every method would without inputs, dequantized; the baseline beside a result.</summary>
    /// <param name="model">The model.</param>
    /// <param name="recipe">What is done.</param>
    /// <param name="part">A matrix that is quantized.</param>
    public static Tensor Nearest(CausalModel model, Recipe recipe, VocabularyPart part)
    {
        VocabularyRecipe vocabulary = recipe.Vocabulary ?? throw new ArgumentException("The recipe leaves embedding and head floats.", nameof(recipe));
        (float[] weight, int rows, int columns) = Load(model, part);
        var values = new float[weight.Length];
        Rounded(model, weight, rows, columns, vocabulary.SchemeOf(part, GridStart.MinMax, recipe.ScaleType)).Dequantize(values);
        return model.Device.From(values, rows, columns);
    }

    private void Quantize(bool isHead, Func<VocabularyPart, (QuantizedWeight Weight, VocabularyReport Report)>? fit)
    {
        foreach (VocabularyPart part in _vocabulary.Parts.Where(part => _vocabulary.IsHead(part) == isHead))
        {
            if (!store.Has(part))
            {
                long start = Time.GetTimestamp();
                (QuantizedWeight weight, VocabularyReport report) = fit?.Invoke(part) ?? ToNearest(part);
                store.Write(part, weight, report with { Seconds = Time.GetElapsedTime(start).TotalSeconds });
                model.Device.Trim();
            }
            Progress?.Report(store.ReportOf(part));
        }
    }

    private (QuantizedWeight Weight, VocabularyReport Report) ToNearest(VocabularyPart part)
    {
        (float[] weight, int rows, int columns) = Load(model, part);
        // Methods that fit layers find their own ranges; beside them the table's are searched for.
        GridStart start = recipe.Method.FitsLayers ? GridStart.Search : recipe.Method.Start;
        Scheme scheme = _vocabulary.SchemeOf(part, start, recipe.ScaleType), plain = scheme.Grid is UniformGrid ? scheme with { Start = GridStart.MinMax } : scheme;
        QuantizedWeight rounded = Rounded(model, weight, rows, columns, scheme);
        double error = RelativeError(weight, rounded), before = plain == scheme ? error : RelativeError(weight, Rounded(model, weight, rows, columns, plain));
        string how = scheme.Grid is not UniformGrid ? "rounded to nearest, integers searched" : scheme.Start == GridStart.Search ? "rounded to nearest, ranges searched" : "rounded to nearest";
        return (rounded, Report(part, rounded, how, before, error, onOutputs: false, []));
    }

    private (QuantizedWeight Weight, VocabularyReport Report) Fitted(VocabularyPart part, ILayerSolver solver, BlockStreams streams, CancellationToken cancellation)
    {
        var rounding = new HeadRounding(model, recipe, solver, cancellation);
        // As in the blocks: the inputs that the method looks at are those of the quantized model, or of the original.
        HeadFit? own = recipe.Method.Head;
        bool original = own is { OriginalInputs: true };
        InputStatistics inputs = rounding.Inputs(original ? streams.Target : streams.QuantizedInput, streams.TrainingWindows, streams.Masks, store.ModuleOf(part));
        (float[] weight, int rows, int columns) = Load(model, part);
        HeadRounding.Result result = rounding.Round(store.ModuleOf(part), weight, rows, columns, _vocabulary.GridOf(part), inputs);
        string damping = own is { Damping: null } ? string.Create(CultureInfo.InvariantCulture, $", damping {HeadRounding.Damping(recipe)} (auto is for layers of blocks)") : "";
        string how = own is null ? "error-compensated rounding on the inputs of the head" : $"{recipe.Method.Method} without a branch, on the inputs of the head{damping}";
        OutputEnergies energies = result.Energies;
        return (result.Weight, Report(part, result.Weight, how, energies.Relative(energies.Nearest), energies.Relative(energies.Stored), onOutputs: true, result.Warnings));
    }

    private VocabularyReport Report(
        VocabularyPart part, QuantizedWeight weight, string rounding, double before, double after, bool onOutputs, IReadOnlyList<string> warnings) => new(
            part, _vocabulary.NameOf(part), store.ModuleOf(part), weight.OutFeatures, weight.InFeatures, weight.Grid.ToString() ?? "", weight.BitsPerWeight, rounding, before, after,
            onOutputs, 0)
        {
            Warnings = warnings,
        };

    private static QuantizedWeight Rounded(CausalModel model, float[] weight, int rows, int columns, Scheme scheme) =>
        FittedGrid.Find(weight, rows, columns, scheme, model.Device.HostWorkers).Round(weight, default, model.Device.HostWorkers);

    private static (float[] Weight, int Rows, int Columns) Load(CausalModel model, VocabularyPart part)
    {
        VocabularyShape shape = model.Layout.Vocabulary ?? throw new ArgumentException("The model's embedding and head are not known.", nameof(model));
        using Tensor tensor = model.LoadVocabulary(VocabularyRecipe.ModuleOf(shape, part));
        return (tensor.ToArray(), tensor.Rows, tensor.Columns);
    }

    private static double RelativeError(float[] weight, QuantizedWeight rounded)
    {
        var values = new float[weight.Length];
        rounded.Dequantize(values);
        double error = 0, whole = 0;
        for (int i = 0; i < values.Length; i++)
        {
            double difference = weight[i] - values[i];
            error += difference * difference;
            whole += (double)weight[i] * weight[i];
        }
        return whole > 0 ? Math.Sqrt(error / whole) : 0;
    }
}
