using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Definitions;
using LowRankQuant.Models;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq data [NAME|SOURCE]</c>: the data sets that have a name, or what would be read of a text.</summary>
internal sealed class DataCommand(Terminal terminal, HubFiles hub)
{
    private readonly Argument<string?> _source = new("SOURCE")
    {
        Description = "A data set by name, a file, a folder, a pattern such as 'texts/*.jsonl', or a name of the hub (hf://datasets/ORG/NAME/FILE). Without one the named data sets are listed.",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<string?> _model = OptionReader.Create("--model", "MODEL", "Count tokens with this model's tokenizer, and put conversations into its chat format.");
    private readonly Option<string?> _format = CommonOptions.FormatOfText("--text-format", "every file");
    private readonly Option<string?> _field = CommonOptions.TextField();
    private readonly Option<string?> _chat = CommonOptions.ChatArguments();
    private readonly Option<bool> _measured = new("--measured") { Description = "The part of a named data set that is measured on, not the one that is calibrated on." };
    private readonly Option<string?> _rows = OptionReader.Create("--rows", "N", "Read only the first N documents (default: all).");
    private readonly Option<bool> _json = CommonOptions.Json();

    public Command Build()
    {
        var command = new Command("data", "List the data sets that have a name, or say what is read of a text: format, fields, documents, characters, tokens, and how it begins.") { _source };
        foreach (Option option in new Option[] { _model, _format, _field, _chat, _measured, _rows, _json }) command.Options.Add(option);
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var reader = new OptionReader(parsed);
        TextFormat format = reader.Choice(_format, CommonOptions.TextFormats) ?? TextFormat.Auto;
        int? rows = reader.Int(_rows, 1);
        bool json = reader.Flag(_json), measured = reader.Flag(_measured);
        string? source = parsed.GetValue(_source), asked = reader.Text(_model);
        TemplateArguments? arguments = CommonOptions.ChatArguments(reader, _chat);
        if (arguments is not null && asked is null) reader.Problems.Add("--chat-template-kwargs is for the chat template of a --model; name one.");
        if (source is null)
        {
            reader.Refuse("is for a SOURCE; name one", _model, _format, _field, _chat, _rows);
            if (measured) reader.Problems.Add("--measured is for a SOURCE; name one.");
        }
        else if (measured)
        {
            if (TextArguments.Dataset(source) is null) reader.Problems.Add("--measured is for a data set by name; a text that is named itself is read alike for both.");
            TextArguments.CheckMeasured(source, false, _source.Name, reader.Problems);
        }
        RequestException.ThrowIfAny(reader.Problems);
        if (source is null) return List(json);
        NamedDataset? set = TextArguments.Dataset(source);
        if (!json && Path.Exists(source) && DatasetCatalog.Find(source) is { } other)
            terminal.Error.WriteLine($"'{source}' is here as a file or folder, which is read; the data set {other.Name} is at {other.Address(measured ? other.Evaluation! : other.Calibration)}.");
        TextInput input = hub.Input(new TextArgument(source, null), measured, cancellation);
        var reading = new TextSourceOptions { Format = format, TextField = reader.Text(_field) ?? TextSourceOptions.UsualField, FormatOption = _format.Name, ChatArguments = arguments };
        using var device = new CpuDevice(new CpuDeviceOptions());
        using CausalModel? model = asked is null ? null : ModelSource.Open(hub.Model(asked, cancellation).Path, device, use: ModelUse.Weights);
        TextFacts facts = TextSurvey.Of(input, reading, model, rows, cancellation);
        if (json) terminal.Out.WriteLine(Json(source, set, measured, facts).ToJsonString());
        else Print(set, measured, facts, model is not null);
        return ExitCodes.Success;
    }

    private int List(bool json)
    {
        if (json)
        {
            JsonNode?[] sets = [.. DatasetCatalog.All.Select(Entry)];
            JsonNode?[] tasks = [.. TaskCatalog.BuiltIn.Where(task => task.OnHub is not null).Select(task => new JsonObject { ["name"] = task.Name, ["addresses"] = new JsonArray([.. task.OnHub!.Addresses.Select(address => (JsonNode?)address)]) })];
            terminal.Out.WriteLine(new JsonObject { ["datasets"] = new JsonArray(sets), ["tasks"] = new JsonArray(tasks) }.ToJsonString());
            return ExitCodes.Success;
        }
        foreach (NamedDataset set in DatasetCatalog.All)
        {
            terminal.Out.WriteLine($"{set.Name}: {set.Summary}");
            terminal.Out.WriteLine($"  --calibration {set.Name}: {set.Address(set.Calibration)}, {set.Calibration.Describe()}");
            if (set.Evaluation is { } measured) terminal.Out.WriteLine($"  --eval-text {set.Name}: {set.Address(measured)}, {measured.Describe()}");
        }
        terminal.Out.WriteLine();
        terminal.Out.WriteLine($"Tasks, with 'lrq eval MODEL --tasks NAME --data {TaskOptions.Hub}':");
        foreach (EvaluationTask task in TaskCatalog.BuiltIn.Where(task => task.OnHub is not null)) terminal.Out.WriteLine($"  {task.Name}: {string.Join(", ", task.OnHub!.Addresses)}");
        terminal.Out.WriteLine();
        terminal.Out.WriteLine("A file or folder here of the same name comes first. 'lrq data NAME' says what is read of one, and of a text of your own.");
        return ExitCodes.Success;

        static JsonNode? Entry(NamedDataset set) => new JsonObject
        {
            ["name"] = set.Name,
            ["summary"] = set.Summary,
            ["calibration"] = Part(set, set.Calibration),
            ["evaluation"] = set.Evaluation is null ? null : Part(set, set.Evaluation),
        };

        static JsonObject Part(NamedDataset set, DatasetPart part) => new() { ["address"] = set.Address(part), ["rows"] = part.Describe() };
    }

    private void Print(NamedDataset? set, bool measured, TextFacts facts, bool hasModel)
    {
        TextWriter writer = terminal.Out;
        if (set is not null)
        {
            DatasetPart part = measured ? set.Evaluation! : set.Calibration;
            writer.WriteLine($"{set.Name}: {set.Summary}");
            writer.WriteLine($"{set.Address(part)}, {part.Describe()}");
        }
        writer.WriteLine($"{(facts.Files.Count == 1 ? facts.Files[0] : string.Create(CultureInfo.InvariantCulture, $"{facts.Files.Count} files, from {facts.Files[0]} to {facts.Files[^1]}"))}, {Format.Bytes(facts.Bytes)}");
        var table = new TextTable("", "") { WordColumns = 2 };
        table.Add("format", string.Join(", ", facts.Formats.Select(format => Choices.Of(CommonOptions.TextFormats, format))));
        if (facts.Fields.Count > 0) table.Add("fields", string.Join(", ", facts.Fields));
        table.Add("documents", string.Create(CultureInfo.InvariantCulture, $"{facts.Documents}{(facts.IsPart ? ", and more that were not read" : "")}"));
        table.Add("characters", facts.Characters.ToString(CultureInfo.InvariantCulture));
        table.Add("tokens", facts.Tokens?.ToString(CultureInfo.InvariantCulture) ?? (hasModel ? "the model has no tokenizer" : "name a --model to count them"));
        writer.Write(table.ToString());
        foreach (string warning in facts.Warnings) writer.WriteLine($"warning: {OptionText.Of(warning)}");
        if (facts.First.Length == 0) return;
        writer.WriteLine();
        writer.WriteLine("The first document begins:");
        writer.WriteLine(facts.First);
    }

    private static JsonObject Json(string source, NamedDataset? set, bool measured, TextFacts facts) => new()
    {
        ["source"] = source,
        ["address"] = set?.Address(measured ? set.Evaluation! : set.Calibration),
        ["files"] = new JsonArray([.. facts.Files.Select(file => (JsonNode?)file)]),
        ["bytes"] = facts.Bytes,
        ["formats"] = new JsonArray([.. facts.Formats.Select(format => (JsonNode?)Choices.Of(CommonOptions.TextFormats, format))]),
        ["fields"] = new JsonArray([.. facts.Fields.Select(field => (JsonNode?)field)]),
        ["documents"] = facts.Documents,
        ["isPart"] = facts.IsPart,
        ["characters"] = facts.Characters,
        ["tokens"] = facts.Tokens,
        ["first"] = facts.First,
        ["warnings"] = new JsonArray([.. facts.Warnings.Select(warning => (JsonNode?)OptionText.Of(warning))]),
    };
}
