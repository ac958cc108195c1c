using System.Text.Json;
using System.Text.Json.Serialization;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Methods;

/// <summary>Grids and ranks of every linear layer of a model, made before the first block is quantized and kept with the run.</summary>
/// <param name="layers">By module path, such as <c>model.layers.0.mlp.up_proj</c>.</param>
public sealed class ModelPlan(IReadOnlyDictionary<string, LayerPlan> layers)
{
    private const string TableFile = "plan.json";
    private const string SensitivityFile = "plan.safetensors";

    /// <summary>All layers by module path.</summary>
    public IReadOnlyDictionary<string, LayerPlan> Layers { get; } = layers;

    /// <summary>The plan of a module.</summary>
    public LayerPlan Layer(string module) => Layers.TryGetValue(module, out LayerPlan? plan)
        ? plan
        : throw new KeyNotFoundException($"The plan has no layer '{module}'.");

    /// <summary>What the model feels of errors of the output of every block (<see cref="Reconstruction.OutputMetric"/>), [hidden, hidden] each, until they are written; empty where nobody asked.</summary>
    internal IReadOnlyList<float[]> OutputMetrics { get; init; } = [];

    private string? MetricFile { get; init; }

    /// <summary>That of one block, read from the plan's file where it is kept; null where nobody asked.</summary>
    /// <param name="block">Number of the block.</param>
    internal float[]? OutputMetric(int block)
    {
        if (MetricFile is null) return OutputMetrics.Count == 0 ? null : OutputMetrics[block];
        using SafetensorsFile file = SafetensorsFile.Open(MetricFile);
        if (!file.Contains(MetricName(block))) return null;
        var values = new float[checked(file.ShapeOf(MetricName(block))[0] * file.ShapeOf(MetricName(block))[1])];
        file.ReadSingles(MetricName(block), values);
        return values;
    }

    /// <summary>The plan of a module; null where layers are not what was planned.</summary>
    /// <exception cref="KeyNotFoundException">Other layers have a plan, and this one has none.</exception>
    public LayerPlan? Find(string module) => Layers.Count == 0 ? null : Layer(module);

    /// <summary>Reads the plan of a run; null when it has none.</summary>
    internal static ModelPlan? TryRead(string folder)
    {
        string table = Path.Combine(folder, TableFile);
        if (!File.Exists(table)) return null;
        List<PlannedLayer> rows = StoredJson.Read(table, PlanJson.Default.ListPlannedLayer, "delete it to make the plan again");
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, SensitivityFile));
        var layers = new Dictionary<string, LayerPlan>(StringComparer.Ordinal);
        foreach (PlannedLayer row in rows)
        {
            var values = new float[file.ShapeOf(row.Name)[0]];
            file.ReadSingles(row.Name, values);
            layers[row.Name] = new LayerPlan(row.Grid?.ToGrid(), row.Rank, [.. values.Select(value => (double)value)]);
        }
        return new ModelPlan(layers) { MetricFile = Path.Combine(folder, SensitivityFile) };
    }

    private static string MetricName(int block) => $"output_metric.{block}";

    /// <summary>Keeps the plan with a run; the table comes last, so that a plan with a table is whole.</summary>
    internal void Write(string folder)
    {
        SafetensorsWriter.Write(Path.Combine(folder, SensitivityFile),
        [
            .. Layers.Select(layer => PendingTensor.FromSingles(
                layer.Key, SafetensorsType.F32, [layer.Value.RowSensitivity.Length], [.. layer.Value.RowSensitivity.Select(value => (float)value)])),
            .. OutputMetrics.Select((metric, block) => PendingTensor.FromSingles(MetricName(block), SafetensorsType.F32, [(int)Math.Sqrt(metric.Length), (int)Math.Sqrt(metric.Length)], metric)),
        ]);
        List<PlannedLayer> rows = [.. Layers.Select(layer => new PlannedLayer(
            layer.Key, layer.Value.Grid is { } grid ? LayerGrid.Of(grid, null) : null, layer.Value.Rank))];
        AtomicFile.WriteAllBytes(Path.Combine(folder, TableFile), JsonSerializer.SerializeToUtf8Bytes(rows, PlanJson.Default.ListPlannedLayer));
    }
}

/// <summary>What a plan for the whole model gives one linear layer.</summary>
/// <param name="Grid">Its grid; null for the one that it has without a plan.</param>
/// <param name="Rank">Rank of the branch.</param>
/// <param name="RowSensitivity">[outFeatures]: half the mean square of dloss/doutput: nats per unit of squared output error.</param>
public sealed record LayerPlan(WeightGrid? Grid, int Rank, double[] RowSensitivity);

/// <summary>A row of a stored plan.</summary>
/// <param name="Name">Module path.</param>
/// <param name="Grid">Its grid; null for the one that it has without a plan.</param>
/// <param name="Rank">Rank of the branch.</param>
internal sealed record PlannedLayer(string Name, LayerGrid? Grid, int Rank);

/// <summary>Serialisation of plans.</summary>
[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(List<PlannedLayer>))]
internal sealed partial class PlanJson : JsonSerializerContext;
