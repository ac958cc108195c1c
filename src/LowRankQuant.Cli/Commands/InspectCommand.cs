using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Cli.Output;
using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq inspect PATH</c>.</summary>
internal sealed class InspectCommand(Terminal terminal, HubFiles hub)
{
    private const string ReportFile = "report.json";

    // What the configuration of a model without a family does not say.
    private const string NotSaid = "not said";

    private const string RecipeFile = "recipe.json";

    private readonly Argument<string> _path = new("PATH") { Description = ModelPath.Help };
    private readonly Option<bool> _tensors = new("--tensors") { Description = "List every tensor with its shape." };
    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object." };

    public Command Build()
    {
        var command = new Command("inspect", "Say what a model or a result is: sizes, scheme, figures.") { _path, _tensors, _json };
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), cancellation));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        ModelPath path = hub.Model(parsed.GetValue(_path)!, cancellation);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel model = ModelSource.Describe(path.Path, device);
        IReadOnlyList<LinearGrid> grids = StoredSize.LinearGrids(model);
        JsonObject facts = Facts(model, grids);
        if (ReadJson(path.Path, RecipeFile) is { } recipe) facts["recipe"] = recipe;
        RunReport? report = ReadReport(path.Path);
        if (report is not null) facts["report"] = JsonSerializer.SerializeToNode(report, RunJson.Default.RunReport);
        if (parsed.GetValue(_tensors)) facts["tensors"] = Tensors(model.Checkpoint);
        if (parsed.GetValue(_json)) terminal.Out.WriteLine(facts.ToJsonString());
        else Print(model, grids, report, parsed.GetValue(_tensors));
        return ExitCodes.Success;
    }

    private static JsonObject Facts(CausalModel model, IReadOnlyList<LinearGrid> grids)
    {
        DecoderConfig config = model.Config;
        return new JsonObject
        {
            ["location"] = model.Checkpoint.Location,
            ["kind"] = model.Checkpoint.Kind,
            ["modelType"] = config.ModelType,
            ["familyKnown"] = model.Architecture.Unknown is null,
            ["layers"] = model.Layout.Blocks.Distinct().Count(),
            ["hiddenSize"] = config.HiddenSize,
            ["heads"] = config.Heads,
            ["keyValueHeads"] = config.KeyValueHeads,
            ["headSize"] = config.HeadSize,
            ["intermediateSize"] = config.IntermediateSize,
            ["vocabularySize"] = config.VocabularySize,
            ["maxPositions"] = config.MaxPositions,
            ["tiedEmbeddings"] = config.TiedEmbeddings,
            ["parameters"] = StoredSize.Parameters(model),
            ["linearWeights"] = model.Layout.LinearWeights,
            ["storedBytes"] = model.Checkpoint.StoredBytes,
            ["scheme"] = Scheme(grids),
            ["grids"] = new JsonArray([.. grids.Select(Grid)]),
            ["vocabulary"] = new JsonObject(StoredSize.VocabularyGrids(model).Select(matrix => KeyValuePair.Create(matrix.Module, (JsonNode?)Grid(matrix.Grid)))),
            ["bitsPerWeight"] = StoredSize.LinearBits(grids),
            ["modelBitsPerWeight"] = StoredSize.ModelBits(model),
            ["quantizers"] = model.Checkpoint.Quantizers?.Description,
            ["warnings"] = new JsonArray([.. model.Checkpoint.Warnings.Select(warning => JsonValue.Create(OptionText.Of(warning)))]),
        };
    }

    private static JsonObject Grid(LinearGrid grid) => new()
    {
        ["description"] = grid.Description,
        ["linears"] = grid.Linears,
        ["weights"] = grid.Weights,
        ["storedBits"] = grid.StoredBits,
    };

    private static JsonArray Tensors(ICheckpoint checkpoint)
    {
        var list = new JsonArray();
        foreach (string name in checkpoint.TensorNames.Order(StringComparer.Ordinal))
            list.Add(new JsonObject { ["name"] = name, ["shape"] = new JsonArray([.. checkpoint.ShapeOf(name).Select(size => JsonValue.Create(size))]) });
        return list;
    }

    /// <summary>The grid of all linears, or every grid with its share of their weights. Null where all are floats.</summary>
    private static string? Scheme(IReadOnlyList<LinearGrid> grids)
    {
        if (!grids.Any(grid => grid.IsQuantized)) return null;
        if (grids.Count == 1) return grids[0].Description;
        double weights = grids.Sum(grid => grid.Weights);
        return string.Join("; ", grids.Select(grid => $"{Format.Percent(grid.Weights / weights)} {grid.Description}"));
    }

    private void Print(CausalModel model, IReadOnlyList<LinearGrid> grids, RunReport? report, bool tensors)
    {
        DecoderConfig config = model.Config;
        var table = new TextTable("property", "value") { WordColumns = 2 };
        table.Add("model", model.Checkpoint.Location);
        table.Add("kind", model.Checkpoint.Kind);
        table.Add("architecture", model.Architecture.Unknown is null ? config.ModelType : $"{config.ModelType} (no family knows it)");
        table.Add("blocks", Format.Count(model.Layout.Blocks.Distinct().Count()));
        table.Add("width, MLP width", Sizes(config.HiddenSize, config.IntermediateSize));
        table.Add("heads, key/value heads, head size", Sizes(config.Heads, config.KeyValueHeads, config.HeadSize));
        table.Add("vocabulary", $"{(config.VocabularySize == 0 ? NotSaid : Format.Count(config.VocabularySize))}{(config.TiedEmbeddings ? " (embeddings tied)" : "")}");
        table.Add("positions", config.MaxPositions == 0 ? NotSaid : Format.Count(config.MaxPositions));
        table.Add("parameters", Format.Count(StoredSize.Parameters(model)));
        table.Add("in quantizable linears", Format.Count(model.Layout.LinearWeights));
        table.Add("size", Format.Bytes(model.Checkpoint.StoredBytes));
        table.Add("bits per parameter", Format.Bits(StoredSize.ModelBits(model)));
        if (Scheme(grids) is { } scheme)
        {
            table.Add("scheme", scheme);
            table.Add("bits per quantized weight", Format.Bits(StoredSize.LinearBits(grids)));
        }
        if (model.Checkpoint.Quantizers is { } quantizers) table.Add("runs with", quantizers.Description);
        foreach ((string module, LinearGrid grid) in StoredSize.VocabularyGrids(model).Where(matrix => matrix.Grid.IsQuantized))
            table.Add(module, $"{grid.Description}, {Format.Bits((double)grid.StoredBits!.Value / grid.Weights)} bits per weight");
        terminal.Out.Write(table.ToString());
        foreach (string warning in model.Checkpoint.Warnings) terminal.Out.WriteLine($"warning: {OptionText.Of(warning)}");
        if (report is not null)
        {
            terminal.Out.WriteLine();
            terminal.Out.WriteLine($"Method {report.Method}, {report.Scheme}; {report.Blocks.Count} blocks in {Format.Duration(report.Seconds)}.");
            if (report.EvaluationSource is { } source) terminal.Out.WriteLine($"Measured on {source}:");
            terminal.Out.Write(ResultTable.Of(report));
            foreach (string warning in report.Warnings) terminal.Out.WriteLine($"warning: {OptionText.Of(warning)}");
        }
        if (!tensors) return;
        terminal.Out.WriteLine();
        var list = new TextTable("tensor", "shape") { WordColumns = 2 };
        foreach (string name in model.Checkpoint.TensorNames.Order(StringComparer.Ordinal)) list.Add(name, string.Join(" x ", model.Checkpoint.ShapeOf(name)));
        terminal.Out.Write(list.ToString());
    }

    private static string Sizes(params int[] sizes) => string.Join(", ", sizes.Select(size => size == 0 ? NotSaid : size.ToString(System.Globalization.CultureInfo.InvariantCulture)));

    private static JsonObject? ReadJson(string folder, string name)
    {
        string file = Path.Combine(folder, name);
        if (!File.Exists(file)) return null;
        try
        {
            return JsonFile.ReadObject(file);
        }
        catch (CheckpointFormatException)
        {
            // A damaged report does not keep anybody from looking at the model.
            return null;
        }
    }

    private static RunReport? ReadReport(string folder)
    {
        try
        {
            return ReadJson(folder, ReportFile)?.Deserialize(RunJson.Default.RunReport) is { } report ? ReportDefaults.Fill(report) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
