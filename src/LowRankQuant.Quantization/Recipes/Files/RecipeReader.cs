using System.Globalization;
using LowRankQuant.Formats;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Quantization.Recipes.Files;

/// <summary>Reads recipe files (<see cref="RecipeFile"/> has their layout); everything that is wrong with one is said at once, with its line.</summary>
public sealed class RecipeReader
{
    // A file that is no recipe at all can have a problem in every line.
    private const int MostProblems = 100;

    private readonly MethodCatalog _catalog;
    private readonly string _file;
    private readonly List<string> _problems = [];
    private readonly Dictionary<string, string> _texts = new(StringComparer.Ordinal);
    private readonly List<string> _calibration = [];
    private readonly List<LayerRule> _rules = [];
    private readonly List<BlockRule> _blocks = [];
    private RecipeRequest _request = new();
    private int _further;

    private RecipeReader(MethodCatalog catalog, string file)
    {
        _catalog = catalog;
        _file = file;
    }

    /// <summary>Reads a recipe.</summary>
    /// <param name="text">YAML or JSON.</param>
    /// <param name="file">Its name, for messages.</param>
    /// <param name="catalog">The methods that there are.</param>
    /// <exception cref="RecipeException">It is no recipe; all problems are told, each with its line.</exception>
    public static RecipeDocument Read(string text, string file, MethodCatalog catalog)
    {
        var reader = new RecipeReader(catalog, file);
        try
        {
            reader.Document(YamlTree.Read(text, file));
        }
        catch (FormatException failure)
        {
            throw new RecipeException(failure.Message, failure);
        }
        if (reader._further > 0) reader._problems.Add($"{file}: there are {reader._further} more problems.");
        if (reader._problems.Count > 0) throw new RecipeException(reader._problems);
        return new RecipeDocument(reader._request with { LayerRules = reader._rules, BlockRules = reader._blocks }, new RecipeTexts { Calibration = reader._calibration, Values = reader._texts });
    }

    private void Document(YamlTree tree) => Each(tree, "a recipe", new()
    {
        ["preset"] = node => _request = _request with { Preset = Word(node) },
        ["weights"] = node => Each(node, "weights", new()
        {
            ["bits"] = value => _request = _request with { Bits = Whole(value) },
            ["group_size"] = Group,
            ["symmetric"] = value => _request = _request with { Symmetric = YesNo(value) },
            ["zeros"] = value => _request = _request with { Zeros = Choice(value, GridNames.Zeros) },
            ["grid"] = value => _request = _request with { Grid = Word(value) },
            ["scale_dtype"] = value => _request = _request with { ScaleType = Choice(value, GridNames.ScaleTypes) },
        }),
        ["layers"] = Rules,
        ["blocks"] = OwnBlocks,
        ["scheme"] = node => _request = _request with { Scheme = Word(node) },
        ["activations"] = node => _request = _request with { Activations = Word(node) },
        ["activation_range"] = node => _request = _request with { ActivationRange = Word(node) },
        ["per_token"] = node => _request = _request with { PerToken = [.. Words(node, "per_token")] },
        ["cache"] = node => _request = _request with { Cache = Word(node) },
        ["cache_range"] = node => _request = _request with { CacheRange = Word(node) },
        ["keys"] = node => _request = _request with { KeysBeforeRotation = Place(node) },
        ["embedding"] = node => _request = _request with { Embedding = Word(node) },
        ["head"] = node => _request = _request with { Head = Word(node) },
        ["target"] = TargetOf,
        ["stages"] = Stages,
        ["data"] = node => Each(node, "data", new(RecipeTexts.DataKeys.ToDictionary(key => key, Keep))
        {
            ["calibration"] = Calibration,
            ["samples"] = value => _request = _request with { Samples = Whole(value) },
            ["held_out"] = value => _request = _request with { HeldOut = Whole(value) },
            ["sequence_length"] = value => _request = _request with { SequenceLength = Whole(value) },
        }),
        ["evaluation"] = node => Each(node, "evaluation", RecipeTexts.EvaluationKeys.ToDictionary(key => key, Keep)),
        ["output"] = node => Each(node, "output", RecipeTexts.OutputKeys.ToDictionary(key => key, Keep)),
        ["precision"] = node => _request = _request with { Precision = Choice(node, PrecisionNames.All) },
        ["seed"] = node => _request = _request with { Seed = Seed(node) },
    });

    private void Each(YamlTree tree, string what, Dictionary<string, Action<YamlTree>> keys)
    {
        if (tree is not YamlMap map)
        {
            Wrong(tree, $"{what} must be a map of keys and values, and this is {tree.Kind}");
            return;
        }
        foreach ((string key, YamlTree value, long line) in map.Pairs)
        {
            if (!keys.TryGetValue(key, out Action<YamlTree>? read)) Unknown(key, line, what, keys.Keys);
            else if (value is not YamlScalar { Text: null }) read(value);
        }
    }

    private void Group(YamlTree node)
    {
        string? text = Word(node);
        _request = text switch
        {
            null => _request,
            "channel" => _request with { Granularity = Granularity.Channel },
            "tensor" => _request with { Granularity = Granularity.Tensor },
            _ => _request with { Granularity = Granularity.Group, GroupSize = Whole(node) },
        };
    }

    private void Rules(YamlTree node)
    {
        foreach (YamlTree item in Items(node, "layers"))
        {
            string? match = null, grid = null, bits = null, group = null;
            bool? symmetric = null;
            ZeroKind? zeros = null;
            Each(item, "a rule of layers", new()
            {
                ["match"] = value => match = Word(value),
                ["grid"] = value => grid = Word(value),
                ["bits"] = value => bits = Whole(value)?.ToString(CultureInfo.InvariantCulture),
                ["group_size"] = value => group = Word(value),
                ["symmetric"] = value => symmetric = YesNo(value),
                ["zeros"] = value => zeros = Choice(value, GridNames.Zeros),
            });
            if (match is null || (grid is null) == (bits is null))
            {
                Wrong(item, "a rule of layers has match, and either grid or bits (with group_size, symmetric and zeros where they differ from the other layers)");
                continue;
            }
            if (zeros is not null && (grid is not null || symmetric == true))
            {
                Wrong(item, "zeros of a rule of layers say how a grid of bits stores them; a grid with a name and a symmetric one leave nothing to say");
                continue;
            }
            string? kind = zeros == ZeroKind.Float ? AffineGrid.Kind : zeros == ZeroKind.Integer || symmetric == false ? "asymmetric" : symmetric == true ? "symmetric" : null;
            string spelling = grid ?? string.Join(':', new[] { bits, group, kind }.OfType<string>());
            _rules.Add(new LayerRule(match, spelling));
        }
    }

    // Blocks, and what is their own: a stage, which is a method, or its name alone; a seed.
    private void OwnBlocks(YamlTree node)
    {
        foreach (YamlTree item in Items(node, "blocks"))
        {
            IReadOnlyList<int>? blocks = null;
            (string Method, Dictionary<string, string> Options)? stage = null;
            ulong? seed = null;
            Each(item, "a rule of blocks", new()
            {
                ["blocks"] = value => blocks = Blocks(value),
                ["stage"] = value => stage = OwnMethod(value),
                ["seed"] = value => seed = Seed(value),
            });
            if (blocks is null || (stage is null && seed is null)) Wrong(item, "a rule of blocks has blocks, and a stage (a method) or a seed");
            else _blocks.Add(new BlockRule(blocks, stage?.Method, stage?.Options ?? [], seed));
        }
    }

    private IReadOnlyList<int>? Blocks(YamlTree node)
    {
        string text = string.Join(',', Words(node, "blocks"));
        if (BlockList.Parse(text) is { } blocks) return blocks;
        Wrong(node, $"'{text}' must be {BlockList.Form}");
        return null;
    }

    private (string Method, Dictionary<string, string> Options)? OwnMethod(YamlTree node)
    {
        (string name, YamlTree? options) = Stage(node);
        if (_catalog.TryFind(name, out QuantizationMethod? method)) return (method.Name, Given($"method {method.Name}", method.Options, options));
        Wrong(node, $"a stage of blocks is one method, its name with its options under it; the methods are {_catalog.Names}");
        return null;
    }

    private void TargetOf(YamlTree node)
    {
        if (node is YamlScalar)
        {
            _request = _request with { Target = Choice(node, TargetNames.Targets) };
            return;
        }
        Each(node, "target", new()
        {
            ["engine"] = value => _request = _request with { Target = Choice(value, TargetNames.Targets) },
            ["on_misfit"] = value => _request = _request with { OnMisfit = Choice(value, TargetNames.MisfitRules) },
            ["tensor_parallel"] = value => _request = _request with { TensorParallel = Whole(value) },
        });
    }

    // Transforms, then the method, then tuning.
    private void Stages(YamlTree node)
    {
        bool tuned = false;
        foreach (YamlTree item in Items(node, "stages"))
        {
            (string name, YamlTree? options) = Stage(item);
            if (name.Length == 0) Wrong(item, "a stage is one key, its name, with its options under it");
            else if (tuned) Wrong(item, $"'{name}' stands behind {RecipeFile.Tune}, which comes last");
            else if (name == RecipeFile.Tune)
            {
                tuned = true;
                if (_request.Method is null) Wrong(item, $"{RecipeFile.Tune} comes behind the method, and no stage before it is one; the methods are {_catalog.Names}");
                else if (options is not null) Tuning(options);
            }
            else if (name == TransformStage.None) _request = _request with { Transforms = _request.Transforms ?? [] };
            else if (_catalog.Transforms.FirstOrDefault(known => known.Name == name) is { } transform)
            {
                if (_request.Method is not null) Wrong(item, $"{name} comes before the method");
                else _request = _request with { Transforms = [.. _request.Transforms ?? [], new TransformStage(name, Given($"transform {name}", transform.Options, options))] };
            }
            else if (!_catalog.TryFind(name, out QuantizationMethod? method)) Unknown(name, item.Line, "stages", [.. _catalog.Transforms.Select(known => known.Name), .. _catalog.Methods.Select(known => known.Name), RecipeFile.Tune]);
            else if (_request.Method is { } first) Wrong(item, $"{name} is a second method beside {first}; a recipe has one");
            else
            {
                _request = _request with { Method = method.Name, Options = Given($"method {method.Name}", method.Options, options) };
            }
        }
    }

    // A stage without options may be its name alone.
    private static (string Name, YamlTree? Options) Stage(YamlTree node) => node switch
    {
        YamlMap { Pairs: [var single] } => (single.Key, single.Value),
        YamlScalar { Text: { } word } => (word, null),
        _ => ("", null),
    };

    private Dictionary<string, string> Given(string what, IReadOnlyList<RecipeOption> options, YamlTree? node)
    {
        var given = new Dictionary<string, string>(StringComparer.Ordinal);
        if (node is null or YamlScalar { Text: null }) return given;
        Each(node, what, options.ToDictionary(option => option.Key, option => (Action<YamlTree>)(value =>
        {
            if (Word(value) is { } text) given[option.Key] = text;
        })));
        return given;
    }

    private bool? Place(YamlTree node)
    {
        string? text = Word(node);
        if (text is not (null or RecipeFile.BeforeRotation or RecipeFile.BehindRotation)) Wrong(node, $"'{text}' must be {RecipeFile.BeforeRotation} or {RecipeFile.BehindRotation}");
        return text is null ? null : text == RecipeFile.BeforeRotation;
    }

    private IEnumerable<string> Words(YamlTree node, string what) => node is YamlScalar { Text: { } single } ? [single] : Items(node, what).Select(Word).OfType<string>();

    private void Tuning(YamlTree node) => Each(node, RecipeFile.Tune, new()
    {
        ["steps"] = value => _request = _request with { TuneSteps = Whole(value) },
        ["rate"] = value => _request = _request with { TuneRate = Number(value, "0.002") },
        ["code_rate"] = value => _request = _request with { TuneCodeRate = Number(value, "0.02") },
        ["batch"] = value => _request = _request with { TuneBatch = Whole(value) },
        ["samples"] = value => _request = _request with { TuneSamples = Whole(value) },
    });

    private void Calibration(YamlTree node)
    {
        if (node is YamlScalar { Text: { } single }) _calibration.Add(single);
        else foreach (YamlTree item in Items(node, "calibration")) _calibration.AddRange(Word(item) is { } file ? [file] : []);
    }

    private Action<YamlTree> Keep(string key) => node =>
    {
        if (Word(node) is { } text) _texts[key] = text;
    };

    private IReadOnlyList<YamlTree> Items(YamlTree node, string what)
    {
        if (node is YamlList list) return list.Items;
        Wrong(node, $"{what} must be a list, and this is {node.Kind}");
        return [];
    }

    private string? Word(YamlTree node)
    {
        if (node is YamlScalar { Text: { } text }) return text;
        Wrong(node, $"a single value must stand here, and this is {node.Kind}");
        return null;
    }

    private delegate bool TryParse<T>(string text, out T value);

    private T? Parse<T>(YamlTree node, string rule, TryParse<T> parse)
        where T : struct
    {
        if (Word(node) is not { } text) return null;
        if (parse(text, out T value)) return value;
        Wrong(node, $"'{text}' must be {rule}");
        return null;
    }

    private double? Number(YamlTree node, string example) => Parse(node, $"a finite number such as {example}", (string text, out double value) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value) && double.IsFinite(value));

    private int? Whole(YamlTree node) => Parse(node, "a whole number", (string text, out int value) => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value));

    private ulong? Seed(YamlTree node) =>
        Parse(node, "a whole number, 0 or more", (string text, out ulong value) => ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value));

    private bool? YesNo(YamlTree node) => Parse(node, "true or false", (string text, out bool value) => bool.TryParse(text, out value));

    private T? Choice<T>(YamlTree node, IReadOnlyList<KeyValuePair<string, T>> names)
        where T : struct, Enum
    {
        if (Word(node) is not { } text) return null;
        T? value = Choices.Parse(names, text);
        if (value is null) Wrong(node, $"'{text}' must be one of {Choices.List(names)}");
        return value;
    }

    private void Unknown(string key, long line, string what, IEnumerable<string> known)
    {
        string? meant = known.Select(name => (Name: name, Distance: EditDistance.Between(key, name))).Where(near => near.Distance <= Math.Max(1, key.Length / 3))
            .OrderBy(near => near.Distance).Select(near => near.Name).FirstOrDefault();
        Add($"{_file}, line {line}: '{key}' is no key of {what}.{(meant is null ? $" There are {string.Join(", ", known)}." : $" Did you mean {meant}?")}");
    }

    private void Add(string problem)
    {
        if (_problems.Count < MostProblems) _problems.Add(problem);
        else _further++;
    }

    private void Wrong(YamlTree node, string rule) => Add($"{_file}, line {node.Line}: {rule}.");
}
