using System.Text.Json;

namespace LowRankQuant.Models.Tokenizers.HuggingFace;

/// <summary>Reads what a post-processor puts before and after a single text.</summary>
internal static class PostProcessorReader
{
    internal static (int[] Prefix, int[] Suffix) Read(JsonField node, Func<int, bool> isToken)
    {
        if (node.IsNull) return ([], []);
        string type = node.Text("type");
        switch (type)
        {
            case "ByteLevel":
                // Moves offsets only, never ids.
                return ([], []);
            case "TemplateProcessing":
                return ReadTemplate(node, isToken);
            case "BertProcessing":
            case "RobertaProcessing":
                return ([Pair(node.Member("cls"), isToken)], [Pair(node.Member("sep"), isToken)]);
            case "Sequence":
                List<int> prefix = [];
                List<int> suffix = [];
                foreach (JsonField part in node.Member("processors").Items())
                {
                    (int[] before, int[] after) = Read(part, isToken);
                    prefix.InsertRange(0, before);
                    suffix.AddRange(after);
                }
                return ([.. prefix], [.. suffix]);
            default:
                throw node.Member("type").Unknown("ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing and Sequence");
        }
    }

    private static (int[] Prefix, int[] Suffix) ReadTemplate(JsonField node, Func<int, bool> isToken)
    {
        List<int> prefix = [];
        List<int> suffix = [];
        bool seen = false;
        JsonField special = node.Member("special_tokens");
        JsonField single = node.Member("single");
        foreach (JsonField item in single.Items())
        {
            JsonField sequence = item.Member("Sequence");
            if (!sequence.IsNull)
            {
                if (seen || sequence.Text("id") != "A") throw sequence.Wrong("the template of a single text must name the text once, as A");
                seen = true;
                continue;
            }
            string name = item.Required("SpecialToken", JsonValueKind.Object).Text("id");
            foreach (JsonField id in special.Member(name).Member("ids").Items()) (seen ? suffix : prefix).Add(Checked(id, isToken));
        }
        if (!seen) throw single.Wrong("the template of a single text must name the text");
        return ([.. prefix], [.. suffix]);
    }

    private static int Pair(JsonField node, Func<int, bool> isToken)
    {
        node.Expect(JsonValueKind.Array);
        if (node.Element.GetArrayLength() != 2) throw node.Wrong("must be a token and its id");
        return Checked(new JsonField(node.Element[1], node.Path), isToken);
    }

    private static int Checked(JsonField id, Func<int, bool> isToken)
    {
        int value = id.Number();
        return isToken(value) ? value : throw id.Wrong("the post-processor adds an id that is no token");
    }
}
