using System.CommandLine;
using System.Globalization;
using LowRankQuant.Cli.Output;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes.Files;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq presets</c>: where values that nobody gives come from, and the recipes that ship with the tool.</summary>
internal sealed class PresetsCommand(Terminal terminal, Engine engine)
{
    public Command Build()
    {
        var command = new Command("presets", "Show what the presets give where nobody says, and the recipes that ship with lrq.");
        command.SetAction(_ => Run());
        return command;
    }

    private int Run()
    {
        foreach ((string name, string what) in PresetNames.All) terminal.Out.WriteLine($"{name}: {what}");
        terminal.Out.WriteLine();
        var table = new TextTable("option", PresetNames.Fast, PresetNames.Paper, "of methods") { WordColumns = 4 };
        string all = "all that look at text";
        WindowDefaults fast = WindowDefaults.Of(PresetNames.Fast), paper = WindowDefaults.Of(PresetNames.Paper);
        table.Add("--samples", Number(fast.Samples), Number(paper.Samples), $"{all}; {Fewer()}");
        table.Add("--held-out", Number(fast.HeldOut), Number(paper.HeldOut), all);
        table.Add("--sequence-length", Number(fast.SequenceLength), Number(paper.SequenceLength), all);
        foreach (var same in engine.Methods.Methods.SelectMany(method => method.Options.Select(option => (Method: method, Option: option)))
            .Where(pair => pair.Option.Fast != pair.Option.Paper).GroupBy(pair => (pair.Option.Key, pair.Option.Fast, pair.Option.Paper)))
            table.Add(OptionText.NameOf(same.Key.Key), same.Key.Fast, same.Key.Paper, string.Join(", ", same.Select(pair => pair.Method.Name)));
        terminal.Out.Write(table.ToString());
        terminal.Out.WriteLine();
        var recipes = new TextTable("--recipe", "what it is for") { WordColumns = 2 };
        foreach (string name in ReadyRecipes.Names) recipes.Add(name, ReadyRecipes.Summary(name));
        terminal.Out.Write(recipes.ToString());
        return ExitCodes.Success;
    }

    // Methods whose own default under fast is another.
    private string Fewer()
    {
        var none = new OptionValues(new Dictionary<string, string>(), [], []);
        int usual = WindowDefaults.Of(PresetNames.Fast).Samples;
        IEnumerable<string> others = engine.Methods.Methods.Select(method => (method.Name, method.Windows(none, PresetNames.Fast).Samples)).Where(pair => pair.Samples != usual)
            .GroupBy(pair => pair.Samples, pair => pair.Name).Select(group => $"{Number(group.Key)} for {string.Join(", ", group)}");
        return string.Join("; ", others);
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
