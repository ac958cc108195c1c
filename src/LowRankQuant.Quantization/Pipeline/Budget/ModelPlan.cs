using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Quantization.Pipeline.Budget;

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

    /// <summary>Reads the plan of a run; null when it has none.</summary>
    internal static ModelPlan? TryRead(string folder)
    {
        string table = Path.Combine(folder, TableFile);
        if (!File.Exists(table)) return null;
        List<PlannedLayer> rows = RunFolder.Read(table, PipelineJson.Default.ListPlannedLayer, "delete it to make the plan again");
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, SensitivityFile));
        var layers = new Dictionary<string, LayerPlan>(StringComparer.Ordinal);
        foreach (PlannedLayer row in rows)
        {
            var values = new float[file.ShapeOf(row.Name)[0]];
            file.ReadSingles(row.Name, values);
            layers[row.Name] = new LayerPlan(row.Grid?.ToGrid(), row.Rank, [.. values.Select(value => (double)value)]);
        }
        return new ModelPlan(layers);
    }

    /// <summary>Keeps the plan with a run; the table comes last, so that a plan with a table is whole.</summary>
    internal void Write(string folder)
    {
        SafetensorsWriter.Write(Path.Combine(folder, SensitivityFile), [.. Layers.Select(layer => PendingTensor.FromSingles(
            layer.Key, SafetensorsType.F32, [layer.Value.RowSensitivity.Length], [.. layer.Value.RowSensitivity.Select(value => (float)value)]))]);
        List<PlannedLayer> rows = [.. Layers.Select(layer => new PlannedLayer(
            layer.Key, layer.Value.Grid is { } grid ? LayerGrid.Of(grid, null) : null, layer.Value.Rank))];
        AtomicFile.WriteAllBytes(Path.Combine(folder, TableFile), JsonSerializer.SerializeToUtf8Bytes(rows, PipelineJson.Default.ListPlannedLayer));
    }
}
