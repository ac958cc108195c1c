using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Hub;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Cli.Commands;

/// <summary>From what a user names to paths. Names of the hub are fetched, once each; a path stays what it is, and nobody is asked about it.</summary>
/// <param name="terminal">Where progress is shown: on standard error, since results stand alone.</param>
/// <param name="options">The hub; read when the first name asks for it.</param>
internal sealed class HubFiles(Terminal terminal, Func<HubOptions> options)
{
    // By argument: what a run writes must not make a path of what was a name.
    private readonly Dictionary<string, ModelPath> _models = new(StringComparer.Ordinal);
    private readonly Dictionary<HubName, HubSnapshot> _fetched = [];

    /// <summary>Whether a MODEL argument would be looked up on the hub.</summary>
    public static bool IsName(string argument) => IsText(argument) || NameOf(argument) is not null;

    /// <summary>Whether it begins as a name of the hub does.</summary>
    private static bool IsText(string argument) => argument.StartsWith(HubName.Scheme, StringComparison.OrdinalIgnoreCase);

    /// <summary>Resolves a MODEL argument.</summary>
    /// <exception cref="RequestException">It begins as a name of the hub and is none, or names data.</exception>
    /// <exception cref="HubException">The hub does not give it.</exception>
    public ModelPath Model(string argument, CancellationToken cancellation)
    {
        if (_models.TryGetValue(argument, out ModelPath? known)) return known;
        if (NameOf(argument) is not { } name) return ModelPath.Of(argument);
        if (name.IsDataset) throw new RequestException([$"{argument} is a data set; a model is wanted here."]);
        try
        {
            var path = new ModelPath(Fetch(name, cancellation).Location, false, name);
            _models.Add(argument, path);
            return path;
        }
        catch (HubException failure) when (!IsText(argument))
        {
            throw new HubException($"{failure.Message} No file or folder here is called {argument}.", failure);
        }
    }

    /// <summary>Resolves an adapter: only what begins with <c>hf://</c> is a name.</summary>
    /// <inheritdoc cref="Model"/>
    public string? Adapter(string? argument, CancellationToken cancellation) => argument is not null && IsText(argument) ? Model(argument, cancellation).Path : argument;

    /// <summary>Resolves a file: only what begins with <c>hf://</c> is a name.</summary>
    /// <inheritdoc cref="Model"/>
    public string Text(string argument, CancellationToken cancellation)
    {
        if (!IsText(argument)) return argument;
        HubName name = NameOf(argument)!;
        if (name.Path is null) throw new RequestException([$"{argument} names no file; a text is one, such as {name with { Path = "train.jsonl" }}."]);
        return Fetch(name, cancellation).Location;
    }

    /// <summary>Resolves a text: what begins with <c>hf://</c>, perhaps with a pattern for several files, and names of data sets where nothing here is called so.</summary>
    /// <param name="text">As it was named.</param>
    /// <param name="measured">Whether it is measured on, not calibrated on.</param>
    /// <param name="cancellation">Ends a fetch.</param>
    /// <inheritdoc cref="Model"/>
    public TextInput Input(TextArgument text, bool measured, CancellationToken cancellation)
    {
        if (TextArguments.Dataset(text.Name) is { } set)
        {
            DatasetPart part = measured ? set.Evaluation! : set.Calibration;
            TextInput found = Files(set.Address(part), cancellation);
            return found with { Name = set.Name, Weight = text.Weight, Join = part.Join, MostRows = part.MostRows };
        }
        return (IsText(text.Name) ? Files(text.Name, cancellation) : new TextInput(text.Name)) with { Weight = text.Weight };
    }

    /// <summary>Fetches the items of tasks that the hub has.</summary>
    /// <returns>Files by the name of a task, in the order of its splits.</returns>
    /// <inheritdoc cref="Model"/>
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Tasks(IEnumerable<EvaluationTask> tasks, CancellationToken cancellation) => tasks
        .Where(task => task.OnHub is not null)
        .ToDictionary(task => task.Name, task => (IReadOnlyList<string>)[.. task.OnHub!.Addresses.Select(address => Text(address, cancellation))], StringComparer.Ordinal);

    /// <summary>Fetches a name's files.</summary>
    /// <param name="name">The name.</param>
    /// <param name="hub">The hub.</param>
    /// <param name="patterns">Files wanted; null for those that make a model.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <exception cref="HubException">The hub does not give it.</exception>
    /// <exception cref="StoppedException">It was stopped.</exception>
    public HubSnapshot Fetch(HubName name, HubOptions hub, IReadOnlyList<string>? patterns, CancellationToken cancellation)
    {
        using RunNarrator narrator = RunDisplay.Create(terminal, json: true);
        try
        {
            return new HubFetch(hub).FetchAsync(name, patterns, new HubView(narrator), cancellation).GetAwaiter().GetResult();
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            throw new StoppedException("Stopped. What was fetched is kept: the same command goes on from there.");
        }
    }

    private TextInput Files(string address, CancellationToken cancellation)
    {
        if (!address.Contains('*', StringComparison.Ordinal)) return new TextInput(Text(address, cancellation));
        HubName name = NameOf(address)!;
        HubSnapshot snapshot = Fetch(name with { Path = null }, options(), [name.Path!], cancellation);
        string[] files = [.. snapshot.Files.Order(StringComparer.Ordinal).Select(file => Path.Combine(snapshot.Folder, file))];
        return files.Length == 1 ? new TextInput(files[0]) : new TextInput(Path.Combine(snapshot.Folder, name.Path!)) { Name = address, Files = files };
    }

    private HubSnapshot Fetch(HubName name, CancellationToken cancellation)
    {
        if (!_fetched.TryGetValue(name, out HubSnapshot? snapshot)) _fetched.Add(name, snapshot = Fetch(name, options(), null, cancellation));
        return snapshot;
    }

    private static HubName? NameOf(string argument)
    {
        if (argument == ModelPath.Demo) return null;
        try
        {
            return HubName.Of(argument);
        }
        catch (HubException bad)
        {
            throw new RequestException([bad.Message]);
        }
    }

    private sealed class HubView(RunNarrator narrator) : IProgress<HubProgress>
    {
        public void Report(HubProgress value)
        {
            if (value.Text is not { } text) narrator.Progress(value.Done, value.Total);
            else if (value.Line == HubLine.Stage) narrator.Stage(text);
            else if (value.Line == HubLine.Warning) narrator.Warn(text);
            else narrator.Note(text);
        }
    }
}
