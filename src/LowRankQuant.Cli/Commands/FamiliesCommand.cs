using System.CommandLine;
using System.Text.Json.Nodes;
using LowRankQuant.Cli.Output;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq families</c>.</summary>
internal sealed class FamiliesCommand(Terminal terminal)
{
    private const string Folder = "folder", Gguf = "gguf";

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object." };

    public Command Build()
    {
        var command = new Command("families", "List the architectures that are supported: model_type of config.json, what it is read from, which models these are.") { _json };
        command.SetAction(Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        (string Type, IModelFamily Family)[] types =
            [.. ModelFamilies.Known.SelectMany(family => family.ModelTypes.Select(type => (type, family))).OrderBy(item => item.type, StringComparer.Ordinal)];
        if (parsed.GetValue(_json))
        {
            var list = new JsonArray([.. types.Select(item => new JsonObject
            {
                ["modelType"] = item.Type,
                ["readFrom"] = new JsonArray([.. Sources(item.Type).Select(source => JsonValue.Create(source))]),
                ["description"] = item.Family.Description,
            })]);
            terminal.Out.WriteLine(new JsonObject { ["families"] = list }.ToJsonString());
            return ExitCodes.Success;
        }
        var table = new TextTable("model_type", "read from", "models") { WordColumns = 3 };
        foreach ((string type, IModelFamily family) in types) table.Add(type, string.Join(", ", Sources(type)), family.Description);
        terminal.Out.Write(table.ToString());
        terminal.Out.WriteLine();
        terminal.Out.WriteLine("Of a folder with another model_type the linears can be rounded ('lrq quantize MODEL --method rtn') and looked at ('lrq inspect'); nothing else runs it.");
        return ExitCodes.Success;
    }

    private static string[] Sources(string modelType) => ModelFamilies.ReadsGguf(modelType) ? [Folder, Gguf] : [Folder];
}
