using System.CommandLine;
using System.Text.Json.Nodes;
using LowRankQuant.Cli.Options;
using LowRankQuant.Hub;
using static LowRankQuant.Cli.Options.OptionReader;

namespace LowRankQuant.Cli.Commands;

/// <summary><c>lrq pull NAME</c>: fetches from the hub, as every command does by itself, and says where it lies.</summary>
internal sealed class PullCommand(Terminal terminal, Engine engine, HubFiles files)
{
    private readonly Argument<string> _name = new("NAME") { Description = "What to fetch: ORG/NAME, ORG/NAME@REVISION, hf://ORG/NAME/FILE, hf://datasets/ORG/NAME/FILE." };
    private readonly Option<string?> _revision = Create("--revision", "R", "A branch, a tag or a commit (default: main).");
    private readonly Option<string[]?> _include = new("--include")
    {
        HelpName = "GLOB",
        Description = "Files to fetch instead of those that make a model: * stands for any characters, ? for one; may be repeated. Files that run code when they are read (*.bin, *.pt) never come.",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<bool> _offline = new("--offline") { Description = "Ask nobody: say where it lies in the cache, if it is there (as HF_HUB_OFFLINE=1)." };
    private readonly Option<string?> _cache = Create("--cache-dir", "DIR", "The cache (default: HF_HUB_CACHE, else hub in HF_HOME, else ~/.cache/huggingface/hub).");
    private readonly Option<bool> _json = CommonOptions.Json();

    public Command Build()
    {
        var command = new Command("pull", "Fetch a model, or a file of data, from the Hugging Face hub into the cache that is shared with Python; print where it lies.") { _name, _revision, _include, _offline, _cache, _json };
        command.SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), CancellationToken.None));
        return command;
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var reader = new OptionReader(parsed);
        HubName? name = Name(parsed.GetValue(_name)!, reader.Text(_revision), reader.Problems);
        IReadOnlyList<string> patterns = reader.Texts(_include);
        if (name?.Path is not null && patterns.Count > 0) reader.Problems.Add($"{_include.Name} does not apply to {name}, which is one file.");
        RequestException.ThrowIfAny(reader.Problems);
        HubOptions hub = engine.Hub();
        if (reader.Flag(_offline)) hub = hub with { Offline = true };
        if (reader.Text(_cache) is { } folder) hub = hub with { Cache = Path.GetFullPath(folder) };
        HubSnapshot snapshot = files.Fetch(name!, hub, patterns.Count > 0 ? patterns : null, cancellation);
        terminal.Out.WriteLine(parsed.GetValue(_json) ? Json(snapshot).ToJsonString() : snapshot.Location);
        return ExitCodes.Success;
    }

    // Here everything is a name: there is no path that could be meant.
    private HubName? Name(string text, string? revision, List<string> problems)
    {
        try
        {
            HubName name = HubName.Parse(text.StartsWith(HubName.Scheme, StringComparison.OrdinalIgnoreCase) ? text : HubName.Scheme + text);
            if (revision is null) return name;
            if (name.Revision != HubName.DefaultRevision && name.Revision != revision) problems.Add($"{_revision.Name} {revision}: {text} names another one; leave one of them out.");
            return name.At(revision);
        }
        catch (HubException bad)
        {
            problems.Add(bad.Message);
            return null;
        }
    }

    private static JsonObject Json(HubSnapshot snapshot) => new()
    {
        ["name"] = snapshot.Name.ToString(),
        ["commit"] = snapshot.Commit,
        ["location"] = snapshot.Location,
        ["folder"] = snapshot.Folder,
        ["files"] = new JsonArray([.. snapshot.Files.Select(file => (JsonNode?)file)]),
        ["bytes"] = snapshot.Bytes,
        ["fetchedBytes"] = snapshot.Downloaded,
    };
}
