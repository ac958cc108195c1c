using System.CommandLine;
using System.Text.Json.Nodes;
using LowRankQuant.Cli.Output;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq methods [NAME]</c>: what methods there are, and what one takes and needs.</summary>
internal sealed class MethodsCommand(Terminal terminal, Engine engine)
{
    private static readonly (MethodNeeds Need, string Text)[] Needs =
    [
        (MethodNeeds.Calibration, "calibration text"),
        (MethodNeeds.FullPrecisionInputs, "the inputs of every block in the full-precision model"),
        (MethodNeeds.Gradients, "gradients through a block at a time"),
        (MethodNeeds.Sensitivity, "gradients through the whole model once, unless its options say otherwise"),
    ];

    private readonly Argument<string?> _name = new("NAME") { Description = "A method.", Arity = ArgumentArity.ZeroOrOne };

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object." };

    public Command Build()
    {
        var command = new Command("methods", "List the methods of quantize; with a NAME, the options that the method takes, what it needs, and where it is from.") { _name, _json };
        command.SetAction(Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        MethodCatalog catalog = engine.Methods;
        if (parsed.GetValue(_name) is not { } name)
        {
            if (parsed.GetValue(_json)) Write(new JsonObject { ["methods"] = new JsonArray([.. catalog.Methods.Select(method => (JsonNode?)Json(method))]) });
            else List(catalog);
            return ExitCodes.Success;
        }
        if (!catalog.TryFind(name, out QuantizationMethod? one)) throw new RequestException([$"'{name}' is no method; the methods are {catalog.Names}."]);
        if (parsed.GetValue(_json)) Write(Json(one));
        else Show(one);
        return ExitCodes.Success;
    }

    private void List(MethodCatalog catalog)
    {
        var table = new TextTable("method", "what it does", "from") { WordColumns = 3 };
        foreach (QuantizationMethod method in catalog.Methods) table.Add(method == catalog.Default ? $"{method.Name} (default)" : method.Name, method.Summary, method.Source ?? "");
        terminal.Out.Write(table.ToString());
        terminal.Out.WriteLine("\n'lrq methods NAME' lists the options of one.");
    }

    private void Show(QuantizationMethod method)
    {
        terminal.Out.WriteLine($"{method.Name}: {method.Summary}{(method.Source is { } source ? $" ({source})" : "")}");
        terminal.Out.WriteLine($"looks at {(method.Needs == MethodNeeds.None ? "weights alone" : $"weights; {string.Join("; ", NeedsOf(method))}")}");
        terminal.Out.WriteLine();
        var table = new TextTable("option", "value", PresetNames.Fast, PresetNames.Paper, "what it does") { WordColumns = 5 };
        foreach (RecipeOption option in method.Options)
            table.Add(OptionText.NameOf(option.Key), option.Form, option.Fast, option.Paper == option.Fast ? "" : option.Paper, OptionText.Of(option.Help));
        terminal.Out.Write(table.ToString());
        terminal.Out.WriteLine($"\nIn a recipe the keys are written with underscores, under stages: - {method.Name}: {{{method.Options[0].Key}: ...}}. 'lrq help quantize' has what all methods take.");
    }

    private static IEnumerable<string> NeedsOf(QuantizationMethod method) => Needs.Where(need => method.Needs.HasFlag(need.Need)).Select(need => need.Text);

    private static JsonObject Json(QuantizationMethod method) => new()
    {
        ["name"] = method.Name,
        ["summary"] = method.Summary,
        ["source"] = method.Source,
        ["needs"] = new JsonArray([.. NeedsOf(method).Select(need => (JsonNode?)need)]),
        ["options"] = new JsonArray([.. method.Options.Select(option => (JsonNode?)new JsonObject
        {
            ["key"] = option.Key,
            ["form"] = option.Form,
            ["fast"] = option.Fast,
            ["paper"] = option.Paper,
            ["help"] = option.Help,
        })]),
    };

    private void Write(JsonObject json) => terminal.Out.WriteLine(json.ToJsonString());
}
