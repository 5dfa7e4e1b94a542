using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Skia;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp data</c>: prepares data sets.</summary>
internal sealed class DataCommand : Command
{
    public DataCommand(ToolHost host)
        : base("data", "Prepare a data set.")
    {
        Add(new EmojiCommand(host));
    }

    /// <summary><c>minivlp data emoji</c>.</summary>
    private sealed class EmojiCommand : ToolCommand
    {
        private readonly Option<string> _from = new("--from") { Description = "Folder with the npm packages emoji-datasource-google and emoji-datasource-twitter.", HelpName = "FOLDER", Required = true };
        private readonly Option<string> _output = new("--out") { Description = "Folder for the shards.", HelpName = "DIR", Required = true };
        private readonly Option<double> _share = OptionRules.Number("--validation-share", "Share of the families of pictures that go into the validation shards.", 0.001, 0.999, new EmojiOptions().ValidationShare, "X");
        private readonly Option<bool> _skinTones = new("--skin-tones") { Description = "Add the five skin tones, with the tone in the caption." };

        public EmojiCommand(ToolHost host)
            : base("emoji", "Make tar shards of real pictures with captions from two npm packages, split by concept.", host)
        {
            Add(_from);
            Add(_output);
            Add(_share);
            Add(_skinTones);
        }

        protected override int Run(ToolContext context)
        {
            ParseResult arguments = context.Arguments;
            EmojiOptions options = new() { ValidationShare = arguments.GetValue(_share), SkinTones = arguments.GetValue(_skinTones) };
            string folder = arguments.GetRequiredValue(_output);
            EmojiReport report = EmojiShards.Build(arguments.GetRequiredValue(_from), folder, new SkiaImageDecoder(), options);
            if (context.Json)
            {
                context.WriteJson(new JsonObject
                {
                    ["folder"] = folder,
                    ["train"] = report.TrainSamples,
                    ["validation"] = report.ValidationSamples,
                    ["shards"] = new JsonArray([.. report.Shards.Select(shard => (JsonNode?)JsonValue.Create(shard))]),
                    ["left_out"] = new JsonArray([.. report.LeftOut.Select(line => (JsonNode?)JsonValue.Create(line))]),
                });
                return ExitCode.Success;
            }

            context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{folder}: {report.TrainSamples:N0} training and {report.ValidationSamples:N0} validation pictures in {report.Shards.Count} shards; {report.LeftOut.Count} concepts left out"));
            return ExitCode.Success;
        }
    }
}
