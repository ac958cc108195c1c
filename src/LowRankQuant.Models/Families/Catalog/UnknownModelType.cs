using System.Text.Json.Nodes;
using LowRankQuant.Formats;

namespace LowRankQuant.Models.Families.Catalog;

/// <summary>What can be said of a configuration whose <c>model_type</c> no family knows: which families are near, and which of its keys nobody reads.</summary>
internal static class UnknownModelType
{
    private const int MostNear = 3, MostKeys = 12;

    // Keys that say nothing of what is computed in evaluation, or that the program reads outside families.
    private static readonly string[] Silent =
    [
        "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "use_cache", "auto_map", "initializer_range", "pretraining_tp", "quantization_config",
        "_name_or_path", "gradient_checkpointing", "is_decoder", "return_dict", "output_attentions", "output_hidden_states", "id2label", "label2id", "task_specific_params",
        "router_aux_loss_coef", "output_router_logits", "router_jitter_noise", "_attn_implementation", "language_model_only",
    ];

    private static readonly string[] SilentEnds = ["_token_id", "_token_index", "_dropout", "_pdrop", "_init", "dropout", "initializer_range"];

    /// <summary>The model_type, in words where there is none.</summary>
    public static string NameOf(JsonObject json) => ModelFamilies.TypeOf(json) ?? "(absent)";

    /// <summary>Why the model cannot be run, without what is near.</summary>
    public static string Reason(JsonObject json) => $"no family knows model_type '{NameOf(json)}'";

    /// <summary>The reason, the families that are near by name and by the keys of the configuration, and the keys that no family reads. Sentences without a full stop at the end.</summary>
    public static string Describe(JsonObject json)
    {
        string name = NameOf(json);
        JsonObject text = UnknownFamily.TextOf(json);
        List<(IModelFamily Family, HashSet<string> Read)> readers = [.. ModelFamilies.Known.Select(family => (family, KeysReadBy(family, text)))];
        string[] byName = [.. ModelFamilies.Known.SelectMany(family => family.ModelTypes).Where(type => Distance(name, type) <= Math.Max(2, name.Length / 3))
            .OrderBy(type => Distance(name, type)).ThenBy(type => type, StringComparer.Ordinal).Take(MostNear)];
        IEnumerable<string> byKeys = readers.OrderByDescending(reader => reader.Read.Count).Take(MostNear)
            .Select(reader => reader.Family.ModelTypes.OrderBy(type => Distance(name, type)).First());
        string[] unread = [.. text.Where(pair => pair.Value is not null && IsTelling(pair.Key) && !readers.Any(reader => reader.Read.Contains(pair.Key))).Select(pair => pair.Key).Order(StringComparer.Ordinal)];
        string keys = unread.Length == 0 ? "every key of its configuration that decides the function is one that some family reads"
            : $"keys of its configuration that no family reads: {string.Join(", ", unread.Take(MostKeys).Select(key => Shown(text, key)))}{(unread.Length > MostKeys ? $" and {unread.Length - MostKeys} more" : "")}";
        string near = byName.Length == 0 ? "nearest" : $"nearest by name: {string.Join(", ", byName)};";
        return $"{Reason(json)}; {near} by the keys of its configuration: {string.Join(", ", byKeys)}; {keys}";
    }

    private static int Distance(string name, string type) => EditDistance.Between(name.ToLowerInvariant(), type);

    private static string Shown(JsonObject text, string key) => text[key] is JsonValue value ? $"{key} ({value.ToJsonString()})" : key;

    private static bool IsTelling(string key) => !Silent.Contains(key) && !SilentEnds.Any(end => key.EndsWith(end, StringComparison.Ordinal));

    // Those that are there; a family that stops at a value has asked for what comes before it.
    private static HashSet<string> KeysReadBy(IModelFamily family, JsonObject text)
    {
        var copy = (JsonObject)text.DeepClone();
        var asked = new HashSet<string>(StringComparer.Ordinal);
        foreach (string type in family.ModelTypes)
        {
            copy["model_type"] = type;
            try
            {
                family.Read(new ConfigReader(copy, "") { Asked = asked });
            }
            catch (Exception failure) when (failure is CheckpointException or UnsupportedModelException)
            {
                // It is another family's configuration.
            }
        }
        asked.RemoveWhere(key => copy[key] is null || !IsTelling(key));
        return asked;
    }
}
